// SPDX-License-Identifier: Apache-2.0
//
// What a control thread waits with: signals, timers.

import Glibc
import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct ControlLoopTests {
  @Test func signalsOfTheSetAreTakenOneByOneAndNoOther() throws {
    // On a thread of its own: the mask, and which signals are pending, are its own.
    let worker = try WorkerThread<[Signal?]>.start(name: "signals", state: 0) { _ in
      guard let signals = try? SignalFD([.user1, .user2]) else { return [] }
      var found = [try? signals.next()]
      Signal.user1.raise()
      Signal.windowChange.raise()
      found.append(try? signals.next())
      found.append(try? signals.next())
      Signal.user2.raise()
      let ready = try? Poll.wait(for: .readable, on: signals.descriptor, timeout: .zero)
      found.append(ready == .readable ? try? signals.next() : nil)
      return found
    }
    #expect(worker.join() == [nil, .user1, nil, .user2])
  }

  @Test func maskIsChangedAndRestored() throws {
    let worker = try WorkerThread<[Bool]>.start(name: "masks", state: 0) { _ in
      var before = SignalSet.asynchronous
      before = before.restore()
      let none: SignalSet = []
      none.restore()
      var found = [SignalSet.blocked.contains(.user1)]
      let set: SignalSet = [.user1]
      let old = set.block()
      found.append(SignalSet.blocked.contains(.user1))
      found.append(SignalSet.blocked.contains(.user2))
      old.restore()
      found.append(SignalSet.blocked.contains(.user1))
      return found
    }
    #expect(worker.join() == [false, true, false, false])
  }

  @Test func timerGoesOffOnceOrAgainAndAgain() throws {
    let timer = try TimerFD()
    #expect(try timer.expirations() == 0)
    let start = MonotonicClock.nanoseconds
    try timer.set(after: .milliseconds(5))
    let found = try Poll.wait(for: .readable, on: timer.descriptor, timeout: soon)
    #expect(found == .readable)
    #expect(MonotonicClock.nanoseconds - start >= 5_000_000)
    #expect(try timer.expirations() == 1)

    try timer.set(after: .milliseconds(1), every: .milliseconds(1))
    var count: UInt64 = 0
    while count < 3 {
      _ = try Poll.wait(for: .readable, on: timer.descriptor, timeout: soon)
      count += try timer.expirations()
    }
    try timer.cancel()
    #expect(try timer.expirations() == 0)
    let quiet = try Poll.wait(for: .readable, on: timer.descriptor, timeout: .milliseconds(5))
    #expect(quiet == [])
  }

  @Test func timerWithoutDelayGoesOffAtOnce() throws {
    let timer = try TimerFD()
    try timer.set(after: .zero)
    let found = try Poll.wait(for: .readable, on: timer.descriptor, timeout: soon)
    #expect(found == .readable)
  }
}
