// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that come with messages: wrong ones are refused, and none is kept that should not be.
// A socket pair tells: one end sees a hang-up when the last copy of the other is closed.

import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing

/// One end of a socket pair, the other end of which was given away.
struct LeakDetector: ~Copyable {
  private let kept: FileDescriptor
  private var given: FileDescriptor?

  init() throws {
    let pair = try UnixSocket.pair()
    let first = try pair.first.duplicate()
    let second = try pair.second.duplicate()
    kept = consume first
    given = consume second
  }

  /// What to send.
  var raw: Int32 {
    switch given {
    case .some(let given): given.raw
    case .none: -1
    }
  }

  /// Closes our own copy of what was given, and waits until all others are closed.
  mutating func isClosedEverywhere() throws -> Bool {
    given = nil
    return try Poll.wait(for: [], on: kept, timeout: soon).contains(.hangup)
  }
}

@Suite(.timeLimit(.minutes(20))) struct DescriptorTests {
  @Test(
    "descriptors with a request that has none are closed, and drop the connection",
    arguments: [
      FrontEndRequest.getFeatures, .setOwner, .getProtocolFeatures, .getQueueCount, .resetDevice,
      .getStatus, .getMemorySlotCount,
    ])
  func unwanted(_ request: FrontEndRequest) throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    var detector = try LeakDetector()
    try raw.send(request, descriptors: [detector.raw])
    try raw.waitForClose()
    let isClosed = try detector.isClosedEverywhere()
    #expect(isClosed)
    #expect(bed.lines.contains("1 file descriptors"))
  }

  @Test("more descriptors than any request has are all closed", arguments: [2, 9, 16])
  func tooMany(_ count: Int) throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    var detector = try LeakDetector()
    try raw.send(
      .setVringKick, FrontEnd.bytes(0),
      descriptors: [Int32](repeating: detector.raw, count: count))
    try raw.waitForClose()
    let isClosed = try detector.isClosedEverywhere()
    #expect(isClosed)
  }

  @Test("descriptors that pile up over the pieces of one message are all closed")
  func tooManyInPieces() throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    var detector = try LeakDetector()
    let bytes = Message(FrontEndRequest.setVringKick.rawValue, payload: FrontEnd.bytes(0)).bytes
    do {
      for byte in bytes {
        try raw.send(
          bytes: [byte], descriptors: [Int32](repeating: detector.raw, count: 2))
      }
    } catch .closed {
      // In the middle of it: also right.
    }
    try raw.waitForClose()
    let isClosed = try detector.isClosedEverywhere()
    #expect(isClosed)
  }

  @Test(
    "a descriptor that is missing drops the connection",
    arguments: [
      FrontEndRequest.setVringKick, .setVringCall, .setVringError, .setBackendChannel,
    ])
  func missing(_ request: FrontEndRequest) throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    try raw.send(request, request == .setBackendChannel ? [] : FrontEnd.bytes(0))
    try raw.waitForClose()
    #expect(bed.lines.contains("0 file descriptors"))
  }

  @Test("a descriptor that was said not to be there drops the connection and is closed")
  func saidNotToBeThere() throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    var detector = try LeakDetector()
    try raw.send(.setVringCall, FrontEnd.bytes(0x100), descriptors: [detector.raw])
    try raw.waitForClose()
    let isClosed = try detector.isClosedEverywhere()
    #expect(isClosed)
  }

  @Test(
    "a file, a directory or a device in place of an eventfd is refused",
    arguments: ["/dev/zero", "/dev/null", "/tmp", "/etc/passwd"])
  func wrongKind(_ path: String) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    let file = try FileDescriptor.open(path, [.readOnly])
    for request in [FrontEndRequest.setVringKick, .setVringCall, .setVringError] {
      #expect(throws: FrontEndError.refused) {
        try frontEnd.tell(request, FrontEnd.bytes(0), descriptors: [file.raw])
      }
    }
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setBackendChannel, descriptors: [file.raw])
    }
  }

  @Test("memory that is a socket, an eventfd or a file opened for reading is refused")
  func memoryOfTheWrongKind() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    let pair = try UnixSocket.pair()
    let event = try EventFD()
    let file = try FileDescriptor.open("/etc/passwd", [.readOnly])
    let region = RegionDescription(guestAddress: 0, size: 16, userAddress: 0, offset: 0)
    for descriptor in [pair.first.raw, event.descriptor.raw, file.raw] {
      #expect(throws: FrontEndError.refused) {
        try frontEnd.tell(
          .setMemoryTable, RegionDescription.tableBytes([region]), descriptors: [descriptor])
      }
    }
    #expect(bed.lines.contains("cannot be mapped"))
  }

  @Test("a log that was not offered is closed, whoever sends it")
  func logsAreClosed() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    var detector = try LeakDetector()
    try frontEnd.tell(
      .setLogBase, FrontEnd.bytes(4096) + FrontEnd.bytes(0), descriptors: [detector.raw])
    try frontEnd.tell(.setLogDescriptor, descriptors: [detector.raw])
    let isClosed = try detector.isClosedEverywhere()
    #expect(isClosed)
  }

  @Test(
    "requests for in-flight regions, which are not offered, are refused again and again",
    arguments: [31, 32])
  func inFlightRegions(_ request: UInt32) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    var detector = try LeakDetector()
    let payload = [UInt8](repeating: 0xff, count: 24)
    for _ in 0..<100 {
      try client.frontEnd.raw.send(
        Message(
          request, flags: MessageFlags.version | MessageFlags.needReply, payload: payload),
        descriptors: [detector.raw])
      let reply = try client.frontEnd.raw.receive()
      #expect(reply.request == request)
      #expect(reply.payload == FrontEnd.bytes(1))
    }
    let isClosed = try detector.isClosedEverywhere()
    #expect(isClosed)
    #expect(try client.echo([1]) == [1])
  }

  @Test("the descriptors of a ring are closed when they are replaced, and when the session ends")
  func replacedAreClosed() throws {
    let bed = try ServerBed([EchoDevice()])
    var last = try LeakDetector()
    do {
      let client = try EchoClient(try bed.frontEnd())
      for request in [FrontEndRequest.setVringKick, .setVringCall, .setVringError] {
        var first = try LeakDetector()
        try client.frontEnd.tell(request, FrontEnd.bytes(0), descriptors: [first.raw])
        try client.frontEnd.tell(request, FrontEnd.bytes(0), descriptors: [last.raw])
        let isClosed = try first.isClosedEverywhere()
        #expect(isClosed, "\(request)")
      }
    }
    let isClosed = try last.isClosedEverywhere()
    #expect(isClosed)
  }
}

/// Why a test in a process of its own has failed.
private struct Unexpected: Error {
  let what: String

  init(_ what: String) { self.what = what }
}

/// Runs something while only so many descriptors can be opened.
private func withFreeDescriptors(_ count: Int, _ body: () throws -> Void) throws {
  let limit = Process.descriptorLimit
  try Process.setDescriptorLimit(UInt64(try Process.openDescriptorCount() + 30))
  var fillers: [HeldEvent] = []
  while let event = try? EventFD() { fillers.append(HeldEvent(event)) }
  fillers.removeLast(count)
  try body()
  fillers = []
  try Process.setDescriptorLimit(limit)
}

private final class HeldEvent {
  private let event: EventFD

  init(_ event: consuming EventFD) { self.event = event }
}

@Suite(.timeLimit(.minutes(20))) struct DescriptorLimitTests {
  // In processes of their own: the limit is the whole process's.

  @Test("a kick that is refused for want of descriptors leaves the ring its old one")
  func refusedKick() async {
    await #expect(processExitsWith: .success) {
      let bed = try ServerBed([EchoDevice()])
      let client = try EchoClient(try bed.frontEnd())
      guard try client.echo([1]) == [1] else { throw Unexpected("no echo") }
      let other = try EventFD()
      // Room for the descriptor itself, none for the worker's own.
      try withFreeDescriptors(1) {
        do {
          try client.frontEnd.tell(
            .setVringKick, FrontEnd.bytes(0), descriptors: [other.descriptor.raw])
          throw Unexpected("not refused")
        } catch FrontEndError.refused {}
      }
      // The next run takes what the ring remembers.
      try client.frontEnd.enableRing(0, false)
      try client.frontEnd.enableRing(0, true)
      for byte: UInt8 in 0..<10 {
        guard try client.echo([byte]) == [byte] else { throw Unexpected("no echo afterwards") }
      }
    }
  }

  @Test("descriptors that this process may not open end the session and say what to do")
  func outOfDescriptors() async {
    await #expect(processExitsWith: .success) {
      let bed = try ServerBed([EchoDevice()])
      let frontEnd = try bed.frontEnd()
      try frontEnd.negotiate(.allRing)
      let event = try EventFD()
      try withFreeDescriptors(1) {
        try frontEnd.raw.send(
          .setMemoryTable, RegionDescription.tableBytes(frontEnd.memory.descriptions),
          descriptors: [event.descriptor.raw, event.descriptor.raw, event.descriptor.raw])
        try frontEnd.raw.waitForClose()
      }
      guard bed.lines.contains("out of file descriptors; raise the limit (ulimit -n)") else {
        throw Unexpected("\(bed.lines.all)")
      }
    }
  }
}
