// SPDX-License-Identifier: Apache-2.0
//
// FakeHost: a /dev/lguest that a test plays. It answers as the host module does (FakeGuest, which recordings of
// the real one prove), remembers what was asked, and a test says what the guest does when it is run and which
// call fails.

package import Backends
import LguestTransport
package import Linux
import Synchronization
import VirtioTesting

package final class FakeHost: GuestPort {
  /// What one read returns.
  package typealias Answer = @Sendable (FakeHost) -> Result<[UInt8], Errno>

  /// What is next when the guest is run.
  private enum Step: Sendable {
    case act(GuestAct)
    case answer(Answer)
  }

  /// Why a guest runs no more.
  private enum Death: Sendable {
    case dead(String, isTold: Bool)
    case restart
  }

  private struct State: Sendable {
    var guest = FakeGuest()
    var death: Death?
    var requests: [[UInt64]] = []
    var steps: [Step] = []
    var failures: [UInt64: Errno] = [:]
    var initializeResult: Int?
    var calls: [[UInt64]] = []
  }

  private let state = Mutex(State())
  private let callStart: FileDescriptor
  private let callEnd: FileDescriptor

  package init() throws {
    let pair = try UnixSocket.pair()
    callStart = pair.first
    callEnd = pair.second
    try callEnd.setNonBlocking(true)
  }

  // MARK: What the launcher sees

  package func request(_ words: [UInt64]) throws(Errno) -> Int { try request(words, cpu: 0) }

  /// A request at an offset of the file.
  package func request(_ words: [UInt64], cpu: UInt64) throws(Errno) -> Int {
    let result: Result<Int, Errno> = state.withLock { state in
      state.requests.append(words)
      if let number = words.first, let failure = state.failures[number] { return .failure(failure) }
      let result = state.guest.answer(words, cpu: cpu)
      return words.first == 0 ? state.initializeResult.map { .success($0) } ?? result : result
    }
    return try result.get()
  }

  package func read(upTo limit: Int) throws(Errno) -> [UInt8] {
    try read(upTo: limit, isMapped: true, cpu: 0)
  }

  /// A read at an offset of the file, perhaps into a buffer that is none.
  package func read(upTo limit: Int, isMapped: Bool, cpu: UInt64) throws(Errno) -> [UInt8] {
    guard cpu == 0, let runner = state.withLock({ $0.guest.runner }) else { throw .invalidArgument }
    guard runner == CurrentThread.id else { throw .permission }
    while true {
      if let death = state.withLock({ $0.death }) {
        return try reason(death, upTo: limit, isMapped: isMapped)
      }
      switch state.withLock({ $0.steps.isEmpty ? nil : $0.steps.removeFirst() }) {
      case .answer(let answer): return try end(answer(self), upTo: limit)
      case .act(.notifies(let address)):
        if notify(address) { continue }
        guard isMapped else { throw .badAddress }
        return try end(Host.notified(address)(self), upTo: limit)
      case .act(.dies(let reason)): die(.dead(reason, isTold: false))
      case .act(.restarts): die(.restart)
      case .act(.spins): return try end(Host.sleep(self), upTo: limit)
      case .act(.initrd): continue
      // Nothing was said of what the guest does now.
      case nil: throw .invalidArgument
      }
    }
  }

  private func die(_ death: Death) {
    state.withLock {
      $0.death = death
      $0.guest.isDead = true
    }
  }

  private func reason(
    _ death: Death, upTo limit: Int, isMapped: Bool
  ) throws(Errno) -> [UInt8] {
    switch death {
    case .restart: throw Errno(rawValue: 85)
    case .dead(let reason, isTold: false):
      die(.dead(reason, isTold: true))
      throw .notFound
    case .dead(let reason, isTold: true):
      guard isMapped else { throw .badAddress }
      return Array((Array(reason.utf8) + [0]).prefix(limit))
    }
  }

  /// An answer that the test has made; after some of them the guest is dead.
  private func end(_ result: Result<[UInt8], Errno>, upTo limit: Int) throws(Errno) -> [UInt8] {
    do throws(Errno) {
      return Array(try result.get().prefix(limit))
    } catch {
      if error == .notFound || error.rawValue == 85 { state.withLock { $0.guest.isDead = true } }
      throw error
    }
  }

  package func target(_ request: UInt64, _ argument: UInt64) throws(Errno) -> CallTarget {
    CallTarget(writing: (request, argument, 0), byteCount: 16, to: try callStart.duplicate())
  }

  // MARK: What the test does

  /// Opens the file anew: there is no guest yet.
  package func reopen() {
    state.withLock {
      $0.death = nil
      let hypercalls = $0.guest.hypercalls
      $0.guest = FakeGuest()
      $0.guest.hypercalls = hypercalls
    }
  }

  package var requests: [[UInt64]] { state.withLock { $0.requests } }
  package var attached: Set<UInt64> { state.withLock { Set($0.guest.eventfds.keys) } }

  /// Lets each request of a number fail; nil: succeed again.
  package func fail(_ request: UInt64, _ error: Errno?) {
    state.withLock { $0.failures[request] = error }
  }
  /// What the host returns of a guest's description.
  package func setInitializeResult(_ result: Int) {
    state.withLock { $0.initializeResult = result }
  }

  /// How many hypercalls the guest has made; nil: the host does not tell.
  package func setHypercalls(_ count: UInt64?) { state.withLock { $0.guest.hypercalls = count } }

  /// What the next reads return.
  package func play(_ answers: Answer...) {
    state.withLock { $0.steps += answers.map { .answer($0) } }
  }

  /// What the guest does when it is run next.
  package func play(_ acts: [GuestAct]) {
    state.withLock { $0.steps += acts.map { .act($0) } }
  }

  /// The guest notifies an address. - Returns: whether an eventfd took it.
  package func notify(_ address: UInt64) -> Bool {
    let eventfd = state.withLock { $0.guest.eventfds[address] }
    guard let eventfd else { return false }
    try? eventfd.descriptor.sendWakeup()
    return true
  }

  /// The calls so far: pairs of request and interrupt.
  package var calls: [[UInt64]] {
    // It fails where there is none that was not seen.
    let bytes = (try? callEnd.read(upTo: 1600)) ?? []
    let new: [[UInt64]] = stride(from: 0, to: bytes.count, by: 16).map {
      [bytes.littleEndian(at: $0), bytes.littleEndian(at: $0 + 8)]
    }
    return state.withLock { state in
      state.calls += new
      return state.calls
    }
  }

  /// Waits until there is another call, for a while.
  package func waitForCall(_ time: Duration) throws {
    _ = try Poll.wait(for: .readable, on: callEnd, timeout: time)
  }
}

/// Answers of a host.
package enum Host {
  package static func notified(_ address: UInt64) -> FakeHost.Answer {
    { _ in
      var bytes: [UInt8] = []
      bytes.append(littleEndian: address)
      return .success(bytes)
    }
  }

  package static func bytes(_ bytes: [UInt8]) -> FakeHost.Answer { { _ in .success(bytes) } }
  package static func text(_ text: String) -> FakeHost.Answer { bytes(Array(text.utf8) + [0]) }
  package static func error(_ errno: Errno) -> FakeHost.Answer { { _ in .failure(errno) } }

  /// Waits like a guest that does nothing, until a signal comes.
  package static let sleep: FakeHost.Answer = { _ in waitForSignal() }

  private static func waitForSignal() -> Result<[UInt8], Errno> {
    do throws(Errno) {
      // Polling would go on after a signal; this read does not.
      let nobody = try EventFD(nonBlocking: false)
      return .success(try nobody.descriptor.readOnce(upTo: 8))
    } catch {
      return .failure(error)
    }
  }
}
