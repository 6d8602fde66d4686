// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct EventFDTests {
  @Test func signalsAddUpAndDrainTakesThemAll() throws {
    let event = try EventFD()
    #expect(event.drain() == 0)
    event.signal()
    event.signal()
    event.signal()
    #expect(event.drain() == 3)
    #expect(event.drain() == 0)
  }

  @Test func initialValueIsThereAtOnce() throws {
    let event = try EventFD(initial: 5)
    #expect(event.drain() == 5)
  }

  @Test func fullCounterIsNoError() throws {
    let event = try EventFD()
    try event.descriptor.writeWord(UInt64.max - 1)
    event.signal()
    #expect(event.drain() == UInt64.max - 1)
  }

  @Test func blockingEventWaitsForTheOtherThread() throws {
    let event = try EventFD(nonBlocking: false)
    let other = EventFD(adopting: try event.descriptor.duplicate())
    let worker = try WorkerThread<UInt64>.start(name: "drain", state: other) { $0.drain() }
    event.signal()
    #expect(worker.join() == 1)
  }

  @Test func anEventIsAWakeupLikeAnyOther() throws {
    let event = try EventFD()
    #expect(try event.descriptor.consumeWakeups() == .none)
    try event.descriptor.sendWakeup()
    #expect(try event.descriptor.consumeWakeups() == .arrived)
  }
}
