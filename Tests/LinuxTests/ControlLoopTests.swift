// SPDX-License-Identifier: Apache-2.0
//
// What a control thread waits with: epoll, signals, timers.

import Glibc
import Testing

@testable import Linux

@Suite struct ControlLoopTests {
  @Test func epollTellsWhoIsReadyByToken() throws {
    let epoll = try Epoll()
    let first = try EventFD()
    let second = try EventFD(initial: 1)
    try epoll.add(first.descriptor.raw, token: 0xffff_ffff_0000_0001)
    try epoll.add(second.descriptor.raw, token: 2)
    #expect(try epoll.wait() == [EpollEvent(token: 2, events: .readable)])
    first.signal()
    let both = try epoll.wait(timeout: .zero)
    #expect(Set(both.map(\.token)) == [0xffff_ffff_0000_0001, 2])
    #expect(try epoll.wait(maxEvents: 1, timeout: .zero).count == 1)
  }

  @Test func epollForgetsWhatIsRemovedAndHeedsWhatIsChanged() throws {
    let epoll = try Epoll()
    let event = try EventFD(initial: 1)
    let fd = event.descriptor.raw
    try epoll.add(fd, token: 1)
    #expect(throws: Errno.exists) { try epoll.add(fd, token: 1) }
    try epoll.modify(fd, token: 5, interest: [.readable, .writable])
    #expect(
      try epoll.wait(timeout: .zero) == [EpollEvent(token: 5, events: [.readable, .writable])])
    try epoll.modify(fd, token: 6, interest: [])
    #expect(try epoll.wait(timeout: .zero) == [])
    try epoll.remove(fd)
    #expect(throws: Errno.notFound) { try epoll.remove(fd) }
    #expect(throws: Errno.notFound) { try epoll.modify(fd, token: 6, interest: []) }
    let file = try FileDescriptor.open("/dev/zero")
    let regular = try Memfd.create(name: "regular", size: 0)
    #expect(throws: Errno.permission) { try epoll.add(regular.raw, token: 1) }
    #expect(file.raw != regular.raw)
  }

  @Test func epollReportsAHangupUnasked() throws {
    let epoll = try Epoll()
    let pipe = try Pipe(nonBlocking: false)
    let reading = try pipe.reading.duplicate()
    try epoll.add(reading.raw, token: 9, interest: [])
    pipe.end()
    #expect(try epoll.wait(timeout: .seconds(10)) == [EpollEvent(token: 9, events: .hangup)])
  }

  @Test func epollWaitsNoLessThanItsTimeout() throws {
    let epoll = try Epoll()
    let start = MonotonicClock.nanoseconds
    #expect(try epoll.wait(timeout: .microseconds(1500)) == [])
    #expect(MonotonicClock.nanoseconds - start >= 1_500_000)
  }

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
    let found = try Poll.wait(for: .readable, on: timer.descriptor, timeout: .seconds(10))
    #expect(found == .readable)
    #expect(MonotonicClock.nanoseconds - start >= 5_000_000)
    #expect(try timer.expirations() == 1)

    try timer.set(after: .milliseconds(1), every: .milliseconds(1))
    var count: UInt64 = 0
    while count < 3 {
      _ = try Poll.wait(for: .readable, on: timer.descriptor, timeout: .seconds(10))
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
    let found = try Poll.wait(for: .readable, on: timer.descriptor, timeout: .seconds(10))
    #expect(found == .readable)
  }
}
