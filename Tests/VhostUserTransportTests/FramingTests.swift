// SPDX-License-Identifier: Apache-2.0
//
// The stream of messages: whatever arrives, in whatever pieces, ends at most this connection.

import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing

@Suite(.timeLimit(.minutes(20))) struct FramingTests {
  /// Sends bytes as the first thing, expects the connection to be dropped, and the next one served.
  private func expectDropped(
    _ bytes: [UInt8], saying text: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    try raw.send(bytes: bytes)
    try raw.waitForClose()
    #expect(bed.lines.contains(text), "\(bed.lines.all)", sourceLocation: sourceLocation)
    #expect(try EchoClient(try bed.frontEnd()).echo([1, 2, 3]) == [1, 2, 3])
    #expect(bed.stop())
  }

  @Test("an undefined request number drops the connection", arguments: [0, 19, 41, 0xffff_ffff])
  func undefinedRequest(_ number: UInt32) throws {
    try expectDropped(Message(number).bytes, saying: "request \(number) is unknown")
  }

  @Test("wrong version flags drop the connection", arguments: [0, 2, 3, 0xffff_fffc])
  func wrongVersion(_ flags: UInt32) throws {
    try expectDropped(
      Message(FrontEndRequest.getFeatures.rawValue, flags: flags).bytes, saying: "flags")
  }

  @Test("a reply instead of a request drops the connection")
  func replyInsteadOfRequest() throws {
    try expectDropped(
      Message(FrontEndRequest.getFeatures.rawValue, flags: 5).bytes, saying: "flags 0x5")
  }

  @Test(
    "a payload that is too small drops the connection, for every request that has one",
    arguments: FrontEndRequest.allCases.filter { request in
      // The first two are ignored, the last is answered with nothing.
      request != .setLogBase && request != .setLogDescriptor && request != .getConfiguration
    })
  func payloadTooSmall(_ request: FrontEndRequest) throws {
    // One byte is too short for each payload, and too long for each request without one.
    try expectDropped(Message(request.rawValue, payload: [1]).bytes, saying: "payload of 1 bytes")
  }

  @Test(
    "a payload that is too large drops the connection before any of it is read",
    arguments: [4109, 0x1_0000, 0x7fff_ffff, 0xffff_ffff] as [UInt32])
  func payloadTooLarge(_ size: UInt32) throws {
    var bytes: [UInt8] = []
    bytes.append32(FrontEndRequest.setMemoryTable.rawValue)
    bytes.append32(MessageFlags.version)
    bytes.append32(size)
    try expectDropped(bytes, saying: "payload of \(size) bytes")
  }

  @Test("a payload that is larger than its request's drops the connection")
  func payloadLargerThanTheRequests() throws {
    try expectDropped(
      Message(FrontEndRequest.setVringBase.rawValue, payload: [UInt8](repeating: 0, count: 9))
        .bytes, saying: "payload of 9 bytes")
  }

  @Test("a front-end that is gone in the middle of a message is noticed", arguments: 1..<20)
  func goneInTheMiddle(_ count: Int) throws {
    let bed = try ServerBed([EchoDevice()])
    do {
      let raw = try bed.rawFrontEnd()
      let message = Message(
        FrontEndRequest.setFeatures.rawValue, payload: FrontEnd.bytes(0))
      try raw.send(bytes: Array(message.bytes[..<count]))
    }
    #expect(try EchoClient(try bed.frontEnd()).echo([7]) == [7])
    #expect(bed.lines.contains("in the middle of a message"))
  }

  @Test("messages that come in single bytes are served, descriptors included")
  func singleBytes() throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    for byte in Message(FrontEndRequest.getQueueCount.rawValue).bytes {
      try raw.send(bytes: [byte])
    }
    #expect(try raw.receiveReply(to: .getQueueCount) == FrontEnd.bytes(2))

    // The descriptor comes with a byte in the middle.
    let kick = try EventFD()
    let message = Message(
      FrontEndRequest.setVringKick.rawValue, payload: FrontEnd.bytes(0))
    for (index, byte) in message.bytes.enumerated() {
      try raw.send(
        bytes: [byte], descriptors: index == 13 ? [kick.descriptor.raw] : [])
    }
    try raw.send(.getQueueCount)
    #expect(try raw.receiveReply(to: .getQueueCount) == FrontEnd.bytes(2))
  }

  @Test("many messages in one piece are served one by one")
  func manyInOnePiece() throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    let one = Message(FrontEndRequest.getQueueCount.rawValue).bytes
    try raw.send(bytes: [[UInt8]](repeating: one, count: 100).flatMap { $0 })
    for _ in 0..<100 {
      #expect(try raw.receiveReply(to: .getQueueCount) == FrontEnd.bytes(2))
    }
  }

  @Test("a front-end that is gone before its reply leaves the server healthy")
  func goneBeforeItsReply() throws {
    let bed = try ServerBed([EchoDevice()])
    for _ in 0..<20 {
      let raw = try bed.rawFrontEnd()
      try raw.send(.getFeatures)
      try raw.send(.getConfiguration, ConfigurationAccess(offset: 0, content: [0]).bytes)
    }
    #expect(try EchoClient(try bed.frontEnd()).echo([7]) == [7])
    #expect(bed.stop())
  }

  @Test(
    "random messages never do more than end the connection", arguments: 0..<200 as Range<UInt64>)
  func randomMessages(_ seed: UInt64) throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    try raw.sendNonsense(seed)
    _ = consume raw
    #expect(try EchoClient(try bed.frontEnd()).echo([7]) == [7])
    #expect(bed.stop())
  }
}
