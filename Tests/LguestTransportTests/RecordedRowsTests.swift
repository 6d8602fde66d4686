// SPDX-License-Identifier: Apache-2.0
//
// FakeHost against recordings of a real /dev/lguest: each recorded request is put to it, and it has to answer the
// same. So what it shows in the other tests is what the module does.

import Backends
import LguestTesting
import Linux
import Testing

@testable import LguestTransport

/// A recorded guest, put to a host that a test plays.
private final class Agreement: Sendable {
  private static let textAddress: UInt64 = 0x3000
  private static let noNumber: UInt64 = 1_000_000_000
  /// Nothing can be mapped there.
  private static let nowhere: UInt64 = 0x2000

  let guest: RecordedGuest
  let host: FakeHost
  private let memory: RunMemory
  private let buffer: RunMemory
  private let event: EventFD
  /// A file of another kind.
  private let other: FileDescriptor

  init(_ guest: RecordedGuest) throws {
    self.guest = guest
    host = try FakeHost()
    event = try EventFD()
    other = try Memfd.create(name: "other", size: 1)
    buffer = try RunMemory(byteCount: 4096, name: nil)
    let page = RecordedPage(guest)
    // A guest without devices has 256 pages.
    memory = try RunMemory(byteCount: (page?.address ?? 0x10_0000) + 0x10_0000, name: nil)
    var size: [UInt8] = []
    size.append(littleEndian: page?.address ?? 0x10_0000)
    memory.write(size, at: 0x2d8)
    for case .initrd(let count) in guest.acts {
      var size: [UInt8] = []
      size.append(littleEndian: UInt32(count))
      memory.write(size, at: 0x21c)
    }
    host.play(guest.acts.isEmpty ? Self.acts(guest.ownCalls) : guest.acts)
  }

  /// What a guest of lgdev's did, as its calls tell.
  private static func acts(_ calls: [RecordedCall]) -> [GuestAct] {
    calls.compactMap { call in
      guard case .read(_, _, let answer) = call.kind else { return nil }
      switch (answer, call.result) {
      case (.notified(let address, _, _), _): return .notifies(address)
      case (.string, _): return .notifies(textAddress)
      case (.text(let text), _): return .dies(String(decoding: text.dropLast(), as: UTF8.self))
      case (_, .failure(.interrupted)): return .spins
      case (_, .failure(Errno(rawValue: 85))): return .restarts
      default: return nil
      }
    }
  }

  /// The calls, with those of queues before their guest's end.
  private var calls: [RecordedCall] {
    guard guest.runner == "guest" else { return guest.calls }
    let own = guest.ownCalls
    let end = own.firstIndex { call in
      if case .read = call.kind, case .failure = call.result { true } else { false }
    }
    let index = end ?? own.count
    return own[..<index] + guest.calls.filter { $0.thread != guest.runner } + own[index...]
  }

  /// Makes all calls, on this thread and others. - Returns: how many, and what was not as recorded.
  func run() -> (asked: Int, differences: [String]) {
    var (asked, differences) = (0, [String]())
    for call in calls {
      guard let answer = on(call.thread, call) else { continue }
      asked += 1
      if answer != call.answer { differences.append("\(call.place); FakeHost: \(answer)") }
    }
    return (asked, differences)
  }

  /// The answer to a call; nil where there is none to compare.
  private func on(_ thread: String, _ call: RecordedCall) -> String? {
    guard thread != guest.runner else { return answer(to: call) }
    do {
      return try WorkerThread.start(name: thread, state: self) { $0.answer(to: call) }.join()
    } catch {
      return "no thread: \(error)"
    }
  }

  private func answer(to call: RecordedCall) -> String? {
    do throws(Errno) {
      switch call.kind {
      case .open, .close, .page: return nil
      case .write(_, let words, let hypercalls):
        if hypercalls == false { host.setHypercalls(0) }
        return "\(try host.request(self.words(words), cpu: call.cpu))"
      case .read(let limit, let isMapped, _):
        let bytes = try host.read(upTo: limit, isMapped: isMapped, cpu: call.cpu)
        return "\(bytes.count) \(bytes)"
      }
    } catch {
      return "\(error)"
    }
  }

  private func words(_ recorded: [RecordedWord]) -> [UInt64] {
    // Words of which none can be read.
    if recorded.first == .symbol("UNMAPPED") { return [] }
    return recorded.map { word in
      switch word {
      case .value(let value): value
      case .symbol("BASE"): UInt64(memory.base)
      case .symbol("BUFFER"): UInt64(buffer.base)
      case .symbol("EVENTFD"): UInt64(event.descriptor.raw)
      case .symbol("LGUEST"): UInt64(other.raw)
      case .symbol("CLOSED"): Self.noNumber
      case .symbol: Self.nowhere
      }
    }
  }
}

extension RecordedCall {
  fileprivate var isRequest: Bool {
    switch kind {
    case .read, .write: true
    case .open, .close, .page: false
    }
  }

  /// The answer as `Agreement` writes it.
  fileprivate var answer: String {
    switch (result, kind) {
    case (.failure(let error), _): return "\(error)"
    case (.success(let count), .read(_, _, let answer)):
      var bytes: [UInt8] = []
      switch answer {
      case .nothing: break
      case .text(let text): bytes = text
      case .string: bytes.append(littleEndian: UInt64(0x3000))
      case .notified(let address, _, _): bytes.append(littleEndian: address)
      }
      return "\(count) \(bytes)"
    case (.success(let count), _): return "\(count)"
    }
  }
}

@Suite(.timeLimit(.minutes(20))) struct RecordedRowsTests {
  private static func guests(_ name: String) -> [RecordedGuest] {
    (try? Recordings.load(name).guests) ?? []
  }

  /// Runs an agreement on a thread of its own, which is nudged while it waits like a guest that spins.
  private static func settle(_ guest: RecordedGuest) throws -> (asked: Int, differences: [String]) {
    let end = try EventFD()
    let done = try end.descriptor.duplicate()
    let thread = try WorkerThread.start(name: "guest", state: try Agreement(guest)) { agreement in
      let found = agreement.run()
      end.signal()
      return found
    }
    let nudging = Nudging()
    while try Poll.wait(for: .readable, on: done, timeout: .milliseconds(5)).isEmpty {
      thread.nudge(nudging)
    }
    return thread.join()
  }

  @Test(arguments: guests("rows"))
  func `the host that tests play answers each recorded request as the module did`(
    row: RecordedGuest
  ) throws {
    let (asked, differences) = try Self.settle(row)
    #expect(differences == [])
    #expect(asked == row.calls.count { $0.isRequest })
  }

  @Test(arguments: Recordings.names)
  func `and each request of lgdev's that was recorded`(name: String) throws {
    for guest in try Recordings.runs(name) {
      let (asked, differences) = try Self.settle(guest)
      #expect(differences == [])
      #expect(asked == guest.calls.count { $0.isRequest } && asked > 3)
    }
  }

  @Test func `every errno of the module is in the recordings, each from the request that gives it`()
    throws
  {
    var found: [String: Set<Errno>] = [:]
    for call in try Recordings.load("rows").guests.flatMap(\.calls) {
      guard case .failure(let error) = call.result else { continue }
      switch call.kind {
      case .open: found["open", default: []].insert(error)
      case .read: found["read", default: []].insert(error)
      case .write(_, let words, _):
        let known: [RecordedWord: String] = [
          .value(0): "initialize", .value(2): "interrupt", .value(4): "eventfd",
          .value(16): "counters",
        ]
        found[words.first.flatMap { known[$0] } ?? "other", default: []].insert(error)
      default: break
      }
    }
    #expect(
      found == [
        "open": [.permission, .accessDenied],
        "read": [
          .invalidArgument, .permission, .interrupted, .notFound, .badAddress, Errno(rawValue: 85),
        ],
        "initialize": [.badAddress, .invalidArgument, .busy],
        "interrupt": [.badAddress, .invalidArgument, .notFound],
        "eventfd": [
          .badAddress, .invalidArgument, .badFileDescriptor, .notFound, .noSpace,
        ],
        "counters": [.badAddress, .invalidArgument],
        "other": [.badAddress, .invalidArgument, .notFound],
      ])
  }

  @Test func `who may not open it is told that it is a matter of rights`() throws {
    let refused = try Recordings.load("rows").guests.flatMap(\.calls).compactMap { call in
      if case .open = call.kind, case .failure(let error) = call.result { error } else { nil }
    }
    #expect(refused == [.permission, .accessDenied])
    for error in refused {
      #expect(LguestError.notOpened(error).description.contains("no right to open"))
    }
  }
}
