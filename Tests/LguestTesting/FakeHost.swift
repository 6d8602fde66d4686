// SPDX-License-Identifier: Apache-2.0
//
// FakeHost: a /dev/lguest that a test plays. It answers as the host module does, remembers what was
// asked, and a test says what read(2) returns and which call fails.

package import Backends
import LguestTransport
package import Linux
import Synchronization
import VirtioTesting

package final class FakeHost: GuestPort {
  /// What one read returns.
  package typealias Answer = @Sendable (FakeHost) -> Result<[UInt8], Errno>

  private struct State: Sendable {
    var requests: [[UInt64]] = []
    var eventfds: [UInt64: Shared] = [:]
    var answers: [Answer] = []
    var failures: [UInt64: Errno] = [:]
    var initializeResult = 24
    var hypercalls: UInt64?
    var calls: [[UInt64]] = []
  }

  /// An eventfd that was attached.
  final class Shared: Sendable {
    let descriptor: FileDescriptor
    init(_ number: UInt64) throws(Errno) {
      descriptor = try FileDescriptor.duplicating(Int32(truncatingIfNeeded: number))
    }
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

  package func request(_ words: [UInt64]) throws(Errno) -> Int {
    let result = state.withLock { state in Self.answer(words, &state) }
    return try result.get()
  }

  private static func answer(_ words: [UInt64], _ state: inout State) -> Result<Int, Errno> {
    state.requests.append(words)
    if let failure = state.failures[words[0]] { return .failure(failure) }
    switch words[0] {
    case 0: return .success(state.initializeResult)
    case 4 where words[2] == .max:
      return state.eventfds.removeValue(forKey: words[1]) == nil
        ? .failure(.notFound) : .success(0)
    case 4:
      state.eventfds[words[1]] = try? Shared(words[2])
      return .success(0)
    case 16:
      guard let hypercalls = state.hypercalls, words[2] >= 40,
        let counters = try? GuestView(base: words[1], pages: 1)
      else { return .failure(.invalidArgument) }
      counters.memory.store(hypercalls, at: 24)
      return .success(Int(words[2]))
    default: return .failure(.invalidArgument)
    }
  }

  package func read(upTo limit: Int) throws(Errno) -> [UInt8] {
    let answer = state.withLock { $0.answers.isEmpty ? nil : $0.answers.removeFirst() }
    guard let answer else { throw .invalidArgument }
    return Array(try answer(self).get().prefix(limit))
  }

  package func target(_ request: UInt64, _ argument: UInt64) throws(Errno) -> CallTarget {
    CallTarget(writing: (request, argument, 0), byteCount: 16, to: try callStart.duplicate())
  }

  // MARK: What the test does

  package var requests: [[UInt64]] { state.withLock { $0.requests } }
  package var attached: Set<UInt64> { state.withLock { Set($0.eventfds.keys) } }

  /// Lets each request of a number fail; nil: succeed again.
  package func fail(_ request: UInt64, _ error: Errno?) {
    state.withLock { $0.failures[request] = error }
  }
  package func setInitializeResult(_ result: Int) {
    state.withLock { $0.initializeResult = result }
  }

  /// How many hypercalls the guest has made, where the host tells that at all.
  package func setHypercalls(_ count: UInt64) { state.withLock { $0.hypercalls = count } }

  /// What the next reads return.
  package func play(_ answers: Answer...) { state.withLock { $0.answers += answers } }

  /// The guest notifies an address. - Returns: whether an eventfd took it.
  package func notify(_ address: UInt64) -> Bool {
    let eventfd = state.withLock { $0.eventfds[address] }
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
