// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct FileDescriptorTests {
  @Test func closesWhenTheOwnerLetsGo() throws {
    // Seen from the other end: a number could be taken again at once by a test that runs beside.
    let pipe = try Pipe(nonBlocking: false)
    let reading = try pipe.reading.duplicate()
    try reading.setNonBlocking(true)
    #expect(throws: Errno.again) { _ = try reading.read(upTo: 1) }
    pipe.end()
    #expect(try seesEnd(reading))
  }

  @Test func writerSeesBrokenPipeOnceTheReaderIsClosed() throws {
    Signal.pipe.ignore()
    let pipe = try Pipe(nonBlocking: false)
    let writing = try pipe.writing.duplicate()
    pipe.end()
    #expect(try Poll.wait(for: [], on: writing, timeout: soon) == .error)
    #expect(throws: Errno.brokenPipe) { _ = try writing.write([1]) }
  }

  @Test func releasedDescriptorStaysOpen() throws {
    let pipe = try Pipe(nonBlocking: false)
    let raw = try pipe.writing.duplicate().release()
    #expect(isOpen(raw))
    #expect(try FileDescriptor(owning: raw).write([1, 2]) == 2)
  }

  @Test func duplicateIsClosedOnExecAndSharesTheFile() throws {
    let pipe = try Pipe(nonBlocking: false)
    let copy = try pipe.writing.duplicate()
    #expect(fcntl(copy.raw, F_GETFD) & FD_CLOEXEC != 0)
    try copy.writeAll([9, 8, 7])
    #expect(try pipe.reading.read(upTo: 100) == [9, 8, 7])
  }

  @Test func duplicateOfAClosedNumberIsAnError() {
    #expect(throws: Errno.badFileDescriptor) { _ = try FileDescriptor.duplicating(100_000) }
  }

  @Test func nonBlockingReadOfNothingSaysAgain() throws {
    let pipe = try Pipe(nonBlocking: false)
    try pipe.reading.setNonBlocking(true)
    #expect(throws: Errno.again) { _ = try pipe.reading.read(upTo: 1) }
    try pipe.reading.setNonBlocking(false)
    #expect(fcntl(pipe.reading.raw, F_GETFL) & O_NONBLOCK == 0)
  }

  @Test func readStopsAtWhatIsThereAndAtTheEnd() throws {
    let pipe = try Pipe(nonBlocking: false)
    try pipe.writing.writeAll([1, 2, 3])
    var bytes: [UInt8] = [0, 0, 0, 0, 77]
    #expect(try pipe.reading.read(into: &bytes) == 3)
    #expect(bytes == [1, 2, 3, 0, 77])
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(try reading.read(upTo: 5) == [])
  }

  @Test func wordTravelsInHostOrderAndAbsenceIsNil() throws {
    let pipe = try Pipe(nonBlocking: false)
    try pipe.reading.setNonBlocking(true)
    #expect(try pipe.reading.readWord() == nil)
    try pipe.writing.writeWord(0x0102_0304_0506_0708)
    #expect(try pipe.reading.readWord() == 0x0102_0304_0506_0708)
  }

  @Test func halfAWordAndAGoneWriterAreConnectionReset() throws {
    let pipe = try Pipe(nonBlocking: false)
    try pipe.writing.writeAll([1, 2, 3])
    #expect(throws: Errno.connectionReset) { _ = try pipe.reading.readWord() }
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(throws: Errno.connectionReset) { _ = try reading.readWord() }
  }

  @Test func wordThatDoesNotFitIsReportedNotThrown() throws {
    let pipe = try Pipe(nonBlocking: false)
    try pipe.writing.setNonBlocking(true)
    var written = 0
    while try pipe.writing.writeWord(1) { written += 1 }
    #expect(written == 65536 / 8)
    try pipe.writing.sendWakeup()
  }

  @Test func wakeupsOnAPipeAreConsumedTogetherAndItsEndIsSeen() throws {
    let pipe = try Pipe(nonBlocking: false)
    try pipe.reading.setNonBlocking(true)
    #expect(try pipe.reading.consumeWakeups() == .none)
    for _ in 0..<16 { try pipe.writing.sendWakeup() }
    #expect(try pipe.reading.consumeWakeups() == .arrived)
    #expect(try pipe.reading.consumeWakeups() == .none)
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(try seesEnd(reading))
    #expect(try reading.consumeWakeups() == .closed)
  }
}
