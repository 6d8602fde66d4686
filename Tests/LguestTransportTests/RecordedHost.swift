// SPDX-License-Identifier: Apache-2.0
//
// RecordedHost: a /dev/lguest that answers what a real one was recorded answering, and only to the requests that it
// was recorded being asked: each word, each size, in this order. The first difference is told and ends the guest.
//
// A recording is of the guest too: what it had written when it notified is written before that notify is
// told. Only what its rings had is not recorded. A queue whose thread was recorded interrupting the guest is
// given one chain, once its eventfd is attached, and has to send these very bytes; no other may send any.

import Backends
import LguestTesting
import Linux
import Synchronization
import VirtioRing
import VirtioTesting

@testable import LguestTransport

/// What was not as recorded, in all guests of a recording.
final class RecordedDifferences: Sendable {
  private let found = Mutex<[String]>([])
  private let ends = Atomic<Int>(0)
  /// Signalled when a guest sleeps until a signal comes, and when it never will.
  let asleep: EventFD

  init() throws { asleep = try EventFD() }

  var all: [String] { found.withLock { $0 } }
  /// How many guests were closed.
  var closed: Int { ends.load(ordering: .relaxed) }

  func add(_ difference: String) {
    found.withLock { $0.append(difference) }
    asleep.signal()
  }

  func close() { ends.add(1, ordering: .relaxed) }
}

final class RecordedHost: GuestPort {
  /// Where in the guest's memory a recorded string is.
  private static let textAddress: UInt64 = 0x3000
  private static let readable: UInt64 = 0x8000
  private static let writable: UInt64 = 0x9000
  /// Only ends a hang.
  private static let patience = Duration.seconds(600)

  /// A descriptor that a dictionary can have.
  private final class Held: Sendable {
    let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  private struct State: Sendable {
    var calls: ArraySlice<RecordedCall>
    var memory: GuestView?
    /// By the queue's address.
    var eventfds: [UInt64: Held] = [:]
    /// Where a queue's calls come out, by the interrupt.
    var callEnds: [UInt64: Held] = [:]
    var called: Set<UInt64> = []
  }

  private let page: RecordedPage?
  private let interrupts: [UInt64: RecordedCall]
  private let differences: RecordedDifferences
  private let state: Mutex<State>

  init(_ guest: RecordedGuest, _ differences: RecordedDifferences) {
    page = RecordedPage(guest)
    interrupts = guest.interrupts
    self.differences = differences
    // Its opening has been.
    state = Mutex(State(calls: guest.ownCalls.dropFirst()))
  }

  deinit {
    if let call = next(), case .close = call.kind, next() == nil {
    } else {
      differences.add("the guest was closed too early")
    }
    let (called, callEnds) = state.withLock { ($0.called, $0.callEnds) }
    for (interrupt, call) in interrupts where !called.contains(interrupt) {
      differences.add("\(call.place); no queue with that interrupt ever ran")
    }
    for (interrupt, end) in callEnds {
      if let more = try? end.descriptor.read(upTo: 64), !more.isEmpty {
        differences.add("interrupt \(interrupt) comes again, as \(more)")
      }
    }
    differences.close()
  }

  private func next() -> RecordedCall? { state.withLock { $0.calls.popFirst() } }

  private func differ(_ call: RecordedCall?, _ asked: String) -> Errno {
    differences.add("\(call?.place ?? "the recording is over"); asked: \(asked)")
    return .io
  }

  // MARK: What the launcher sees

  func request(_ words: [UInt64]) throws(Errno) -> Int {
    let call = next()
    let asked = words.map { String($0, radix: 16) }.joined(separator: " ")
    guard let call, case .write(let byteCount, let recorded, let hypercalls) = call.kind,
      byteCount == words.count * 8, recorded.count == words.count,
      zip(recorded, words).allSatisfy(Self.isSame)
    else { throw differ(call, "write \(words.count * 8): \(asked)") }
    let result = try call.result.get()
    switch words[0] {
    case 0: made(base: words[1], pages: words[2])
    case 4: setEventfd(words[1], words[2])
    default:
      if hypercalls == true, let counters = try? GuestView(base: words[1], pages: 1) {
        counters.memory.store(UInt64(1), at: 24)
      }
    }
    return result
  }

  private static func isSame(_ recorded: RecordedWord, _ word: UInt64) -> Bool {
    switch recorded {
    case .value(let value): value == word
    case .symbol("BASE"): word % 4096 == 0 && OwnMemory.bytes(at: word, count: 4096) != nil
    case .symbol("BUFFER"): OwnMemory.bytes(at: word, count: 40) != nil
    case .symbol("EVENTFD"):
      Int32(exactly: word).flatMap { OwnFiles.kind(of: $0) } == .eventfd
    case .symbol: false
    }
  }

  /// The guest is there: it finds its devices as they were recorded.
  private func made(base: UInt64, pages: UInt64) {
    guard let page, let memory = try? GuestView(base: base, pages: pages), let call = next() else {
      return
    }
    state.withLock { $0.memory = memory }
    let bytes = memory.bytes(page.address, page.bytes.count + 5)
    if bytes != page.bytes + [0, 0, 0, 0, 0] {
      differences.add("\(call.place); the devices are: \(bytes)")
    }
  }

  private func setEventfd(_ address: UInt64, _ number: UInt64) {
    var held: Held?
    if let number = Int32(exactly: number), let eventfd = try? FileDescriptor.duplicating(number) {
      held = Held(eventfd)
    }
    state.withLock { [held] in $0.eventfds[address] = held }
  }

  func read(upTo limit: Int) throws(Errno) -> [UInt8] {
    useQueues()
    let call = next()
    guard let call, case .read(limit, _, let answer) = call.kind else {
      throw differ(call, "read \(limit)")
    }
    if call.result == .failure(.interrupted) { try sleep() }
    _ = try call.result.get()
    var bytes: [UInt8] = []
    switch answer {
    case .nothing: break
    case .text(let text): bytes = text
    case .string(let text):
      state.withLock { $0.memory?.memory.write(text + [0], at: Self.textAddress) }
      bytes.append(littleEndian: Self.textAddress)
    case .notified(let address, let status, let accepted):
      write(status, accepted, at: address)
      bytes.append(littleEndian: address)
    }
    return bytes
  }

  /// Waits like a guest that spins; a signal ends it.
  private func sleep() throws(Errno) {
    let nobody = try EventFD(nonBlocking: false)
    differences.asleep.signal()
    _ = try nobody.descriptor.readOnce(upTo: 8)
  }

  private func write(_ status: UInt8?, _ accepted: [UInt8], at address: UInt64) {
    guard let status, let slot = page?.slots.first(where: { $0.address == address }) else { return }
    state.withLock {
      $0.memory?.memory.store(status, at: address + 4)
      $0.memory?.memory.write(accepted, at: slot.acceptedAddress)
    }
  }

  func target(_ request: UInt64, _ argument: UInt64) throws(Errno) -> CallTarget {
    let pair = try UnixSocket.pair(messages: true)
    try pair.second.setNonBlocking(true)
    let end = Held(pair.second)
    state.withLock { $0.callEnds[argument] = end }
    return CallTarget(writing: (request, argument, 0), byteCount: 16, to: pair.first)
  }

  // MARK: What the guest does

  /// Uses each queue that runs and was recorded interrupting the guest, once.
  private func useQueues() {
    for slot in page?.slots ?? [] {
      for queue in slot.queues {
        let parts = state.withLock { state in
          (state.eventfds[queue.address], state.callEnds[queue.interrupt], state.memory)
        }
        guard let kick = parts.0, let end = parts.1, let memory = parts.2,
          let call = interrupts[queue.interrupt],
          state.withLock({ $0.called.insert(queue.interrupt).inserted })
        else { continue }
        use(queue, memory, kick.descriptor, end.descriptor, call)
      }
    }
  }

  private func use(
    _ queue: RecordedPage.Queue, _ memory: GuestView, _ kick: borrowing FileDescriptor,
    _ end: borrowing FileDescriptor, _ call: RecordedCall
  ) {
    do {
      guard let layout = RingLayout.legacy(at: queue.address, size: queue.size) else { return }
      var driver = SplitDriver(
        RingPlan(layout: layout, size: queue.size), memory: memory.memory, features: [])
      _ = driver.offer([.readable(Self.readable, 8), .writable(Self.writable, 8)].span)
      try kick.sendWakeup()
      _ = try Poll.wait(for: .readable, on: end, timeout: Self.patience)
      let bytes = try end.read(upTo: 64)
      var recorded: [UInt8] = []
      if case .write(_, let words, _) = call.kind {
        for case .value(let word) in words { recorded.append(littleEndian: word) }
      }
      if bytes != recorded { differences.add("\(call.place); asked: \(bytes)") }
      if try driver.collect() == nil {
        differences.add("\(call.place); the queue was not served")
      }
    } catch {
      differences.add("\(call.place); no such call came: \(error)")
    }
  }
}

extension RecordedGuest {
  /// The calls of the thread that runs it.
  var ownCalls: [RecordedCall] { calls.filter { $0.thread == runner } }

  /// What the queues' threads ask for, by the interrupt.
  var interrupts: [UInt64: RecordedCall] {
    var found: [UInt64: RecordedCall] = [:]
    for call in calls where call.thread != runner {
      if case .write(_, let words, _) = call.kind, words.count == 2, words[0] == .value(2),
        case .value(let interrupt) = words[1]
      {
        found[interrupt] = call
      }
    }
    return found
  }
}
