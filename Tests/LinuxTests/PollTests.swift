// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct PollTests {
  @Test func reportsTheEntriesThatAreReadyAndNoOther() throws {
    let quiet = try EventFD()
    let loud = try EventFD(initial: 1)
    var entries: InlineArray<4, PollEntry> = [
      PollEntry(fd: quiet.descriptor.raw), PollEntry(fd: loud.descriptor.raw), .ignored,
      PollEntry(fd: quiet.descriptor.raw, events: .writable),
    ]
    let ready = try Poll.wait(&entries, timeout: soon)
    #expect(ready == 2)
    let found = (0..<4).map { entries[$0].isReady }
    #expect(found == [false, true, false, true])
    #expect(entries[1].returned == .readable)
    #expect(entries[3].returned == .writable)
  }

  @Test func returnsZeroWhenTheTimeIsOverAndNotBefore() throws {
    let quiet = try EventFD()
    let start = MonotonicClock.nanoseconds
    let found = try Poll.wait(for: .readable, on: quiet.descriptor, timeout: .milliseconds(20))
    #expect(found == [])
    #expect(MonotonicClock.nanoseconds - start >= 20_000_000)
  }

  @Test func zeroTimeoutOnlyLooks() throws {
    let quiet = try EventFD()
    let found = try Poll.wait(for: .readable, on: quiet.descriptor, timeout: .zero)
    #expect(found == [])
    let negative = try Poll.wait(for: .readable, on: quiet.descriptor, timeout: .seconds(-1))
    #expect(negative == [])
  }

  @Test func withoutATimeoutItWaitsForTheEvent() throws {
    let event = try EventFD()
    let other = EventFD(adopting: try event.descriptor.duplicate())
    let worker = try WorkerThread<PollEvents?>.start(name: "poll", state: other) { event in
      try? Poll.wait(for: .readable, on: event.descriptor)
    }
    event.signal()
    #expect(worker.join() == .readable)
  }

  @Test func aPeerThatWentAwayIsSeenWithoutBeingAskedFor() throws {
    var entries: InlineArray<1, PollEntry> = [.ignored]
    let pipe = try Pipe(nonBlocking: false)
    let reading = try pipe.reading.duplicate()
    pipe.end()
    entries[0] = PollEntry(fd: reading.raw, events: [])
    #expect(try Poll.wait(&entries, timeout: soon) == 1)
    #expect(entries[0].returned == .hangup)
    entries[0].fd = 100_000
    #expect(try Poll.wait(&entries, timeout: soon) == 1)
    #expect(entries[0].returned == .invalid)
  }

  @Test func anyDurationBecomesNanosecondsWithoutATrap() {
    #expect(Duration.nanoseconds(1).wholeNanoseconds == 1)
    #expect(Duration(secondsComponent: 0, attosecondsComponent: 1).wholeNanoseconds == 1)
    #expect(Duration.seconds(3).wholeNanoseconds == 3_000_000_000)
    #expect(Duration.seconds(-3).wholeNanoseconds == 0)
    #expect(Duration.seconds(Int64.max).wholeNanoseconds == UInt64(Int64.max))
    #expect(Deadline(after: .seconds(Int64.max)).nanosecondsLeft > 1 << 60)
    #expect(Deadline.passed.nanosecondsLeft == 0)
  }
}
