// SPDX-License-Identifier: Apache-2.0
//
// Features, protocol features, configuration space, status.

import Backends
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing

@Suite(.timeLimit(.minutes(20))) struct NegotiationTests {
  @Test("features that were never offered are refused", arguments: [0, 23, 34, 63])
  func featuresNeverOffered(_ bit: UInt64) throws {
    let offered = Features.allRing.subtracting(.packedRing)
    let bed = try ServerBed([EchoDevice(features: offered)])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(offered)
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setFeatures, FrontEnd.bytes(1 << bit))
    }
    // What was negotiated before still holds.
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 16)
    try frontEnd.startRing(ring)
  }

  @Test("without a reply asked for, features that were never offered drop the connection")
  func featuresNeverOfferedUnasked() throws {
    let bed = try ServerBed([EchoDevice(features: [.version1])])
    let raw = try bed.rawFrontEnd()
    try raw.send(.setFeatures, FrontEnd.bytes(Features.packedRing.rawValue))
    try raw.waitForClose()
    #expect(bed.lines.contains("features 0x400000000 accepted but not offered"))
  }

  @Test("INDIRECT and EVENT_IDX are served though the device does not offer them")
  func ringFeaturesNotOffered() throws {
    let device = EchoDevice(features: [.version1])
    let bed = try ServerBed([device])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([.version1])
    let accepted: Features = [.version1, .indirectDescriptors, .eventIndex]
    try frontEnd.tell(.setFeatures, FrontEnd.bytes(accepted.rawValue | protocolFeaturesBit))
    #expect(device.accepted == [[.version1], accepted])
  }

  @Test("NOTIFICATION_DATA, which an eventfd cannot carry, is not offered")
  func notificationData() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(.allRing)
    #expect(frontEnd.features == Features.allRing.subtracting(.notificationData))
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setFeatures, FrontEnd.bytes(Features.notificationData.rawValue))
    }
  }

  @Test("SET_FEATURES twice, as User-mode Linux does it, is served")
  func featuresTwice() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([.version1])
    let both = Features.version1.rawValue | protocolFeaturesBit
    try frontEnd.tell(.setFeatures, FrontEnd.bytes(both))
    try frontEnd.tell(.setFeatures, FrontEnd.bytes(both))
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 16)
    try frontEnd.startRing(ring)
    #expect(device.accepted == [[.version1]])
    #expect(device.starts == 1)
  }

  @Test("features that change while a ring runs count when none runs any more")
  func featuresChangedWhileRunning() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd(), [.version1])
    let others: Features = [.version1, .eventIndex]
    try client.frontEnd.tell(
      .setFeatures, FrontEnd.bytes(others.rawValue | protocolFeaturesBit))
    #expect(try client.echo([1, 2]) == [1, 2])
    #expect(device.accepted == [[.version1]])
    let base = try client.frontEnd.stopRing(0)
    try client.frontEnd.startRing(client.ring, base: base)
    #expect(device.accepted == [[.version1], others])
  }

  @Test("GET_QUEUE_NUM counts virtqueues, whatever the device")
  func queueCount() throws {
    let bed = try ServerBed([EchoDevice(queues: 2, id: .net), EchoDevice(queues: 3)])
    #expect(try bed.frontEnd(0).askNumber(.getQueueCount) == 2)
    #expect(try bed.frontEnd(1).askNumber(.getQueueCount) == 3)
  }

  @Test("the offered protocol features are those that are documented")
  func protocolFeatures() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    let bits = try frontEnd.askNumber(.getProtocolFeatures)
    #expect((0..<64).filter { bits >> UInt64($0) & 1 == 1 } == [0, 3, 5, 9, 13, 15, 16])
    let features = try frontEnd.askNumber(.getFeatures)
    #expect(features & protocolFeaturesBit != 0)
  }

  @Test("protocol features that were not offered are refused")
  func protocolFeaturesNotOffered() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setProtocolFeatures, FrontEnd.bytes(1 << 12))
    }
  }

  @Test(
    "in-band notifications without both of their conditions drop the connection",
    arguments: [[], [.replyAck], [.backendRequests]] as [ProtocolFeatures])
  func inBandAlone(_ others: ProtocolFeatures) throws {
    let bed = try ServerBed([EchoDevice()], inBand: true)
    let raw = try bed.rawFrontEnd()
    let chosen = others.union(.inBandNotifications)
    try raw.send(.setProtocolFeatures, FrontEnd.bytes(chosen.rawValue), needReply: true)
    try raw.waitForClose()
  }

  @Test("a reply that was asked for without REPLY_ACK does not come")
  func replyWithoutTheFeature() throws {
    let bed = try ServerBed([EchoDevice()])
    let raw = try bed.rawFrontEnd()
    try raw.send(.setOwner, needReply: true)
    try raw.send(.getQueueCount, needReply: true)
    #expect(try raw.receiveReply(to: .getQueueCount) == FrontEnd.bytes(2))
  }

  @Test("a refused question gets no acknowledgement: GET_CONFIG an empty answer, others the end")
  func refusedQuestions() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    for needsReply in [false, true] {
      // Two bytes are no piece of a configuration space.
      try frontEnd.raw.send(.getConfiguration, [0, 0], needReply: needsReply)
      #expect(try frontEnd.raw.receiveReply(to: .getConfiguration) == [])
    }
    try frontEnd.raw.send(
      .getVringBase, VringState(index: 99, number: 0).bytes, needReply: true)
    try frontEnd.raw.waitForClose()
  }

  @Test("a request with a reply of its own is answered once, also when a reply is asked for")
  func oneReply() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    for request in [FrontEndRequest.getFeatures, .getQueueCount, .getMemorySlotCount] {
      try frontEnd.raw.send(request, needReply: true)
      _ = try frontEnd.raw.receiveReply(to: request)
    }
    #expect(try frontEnd.askNumber(.getMemorySlotCount) == 509)
  }
}

@Suite(.timeLimit(.minutes(20))) struct ConfigurationTests {
  @Test(
    "the configuration space is answered in exactly the size that was asked for",
    arguments: [0, 1, 9, 10, 11, 60, 256, 257, 4096])
  func anySize(_ size: Int) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    let space: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    let padded = space + [UInt8](repeating: 0, count: 4096)
    #expect(try frontEnd.readConfiguration(byteCount: size) == Array(padded[..<size]))
  }

  @Test(
    "pieces at any offset are answered, zeros past the end", arguments: [4, 9, 10, 0xffff_ffff])
  func anyOffset(_ offset: UInt32) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    let space: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    let piece = Array((space.dropFirst(Int(offset)) + [0, 0, 0, 0]).prefix(4))
    #expect(try frontEnd.readConfiguration(at: offset, byteCount: 4) == piece)
  }

  @Test(
    "a size that is not the payload's is refused, and a write of it drops the connection",
    arguments: [0, 9, 11, 0xffff_ffff])
  func lyingSize(_ size: UInt32) throws {
    let bed = try ServerBed([EchoDevice()])
    for request in [FrontEndRequest.getConfiguration, .setConfiguration] {
      let raw = try bed.rawFrontEnd()
      var payload: [UInt8] = []
      payload.append32(0)
      payload.append32(size)
      payload.append32(0)
      try raw.send(request, payload + [UInt8](repeating: 0, count: 10))
      if request == .getConfiguration {
        #expect(try Self.reply(raw) == [])
      } else {
        try raw.waitForClose()
      }
    }
  }

  private static func reply(_ raw: borrowing RawFrontEnd) throws -> [UInt8] {
    try raw.receiveReply(to: .getConfiguration)
  }

  @Test("a write reaches the device, and one that it refuses is refused")
  func write() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    try frontEnd.tell(
      .setConfiguration, ConfigurationAccess(offset: 2, content: [0xaa, 0xbb]).bytes)
    #expect(try frontEnd.readConfiguration(byteCount: 5) == [1, 2, 0xaa, 0xbb, 5])
    for offset: UInt32 in [9, 0x7fff_ffff, 0xffff_ffff] {
      #expect(throws: FrontEndError.refused) {
        try frontEnd.tell(
          .setConfiguration, ConfigurationAccess(offset: offset, content: [1, 2]).bytes)
      }
    }
  }

  @Test("a change is told over the back-end channel")
  func changeIsTold() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    let pair = try UnixSocket.pair()
    try frontEnd.tell(.setBackendChannel, descriptors: [pair.second.raw])
    let channel = RawFrontEnd(try pair.first.duplicate())
    for _ in 0..<3 {
      device.configurationChange.signal()
      let message = try channel.receive()
      #expect(message == Message(BackEndRequest.configurationChange.rawValue))
    }
  }

  @Test("changes without a channel, before one and after the session are nobody's trouble")
  func changeUnheard() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    device.configurationChange.signal()
    do {
      let frontEnd = try bed.frontEnd()
      device.configurationChange.signal()
      try frontEnd.negotiate([])
      let pair = try UnixSocket.pair()
      try frontEnd.tell(.setBackendChannel, descriptors: [pair.second.raw])
      // Nobody reads: what does not fit is dropped.
      for _ in 0..<2000 { device.configurationChange.signal() }
      #expect(try frontEnd.askNumber(.getQueueCount) == 2)
    }
    device.configurationChange.signal()
    #expect(try EchoClient(try bed.frontEnd()).echo([7]) == [7])
    #expect(bed.stop())
    device.configurationChange.signal()
  }
}

@Suite(.timeLimit(.minutes(20))) struct StatusTests {
  @Test("the status is kept as it is written, and 0 stops the rings")
  func status() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd())
    let frontEnd = client.frontEnd
    for status: UInt64 in [1, 3, 11, 15] {
      try frontEnd.tell(.setStatus, FrontEnd.bytes(status))
      #expect(try frontEnd.askNumber(.getStatus) == status)
    }
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setStatus, FrontEnd.bytes(256))
    }
    #expect(try client.echo([1]) == [1])
    try frontEnd.tell(.setStatus, FrontEnd.bytes(0))
    #expect(try frontEnd.askNumber(.getStatus) == 0)
    // Set up again, in the same session.
    let again = try EchoClient(frontEnd)
    #expect(try again.echo([1, 2, 3]) == [1, 2, 3])
    #expect(device.resets == 2)
    #expect(device.returns == 0)
  }

  @Test("RESET_DEVICE stops and disables all rings, and the device can be set up again")
  func resetDevice() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd())
    let before = device.resets
    try client.frontEnd.tell(.resetDevice)
    #expect(device.resets == before + 1)
    let again = try EchoClient(client.frontEnd)
    #expect(try again.echo([1, 2, 3]) == [1, 2, 3])
  }

  @Test("RESET_OWNER stops the rings")
  func resetOwner() throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    try client.frontEnd.tell(.resetOwner)
    let again = try EchoClient(client.frontEnd)
    #expect(try again.echo([1, 2, 3]) == [1, 2, 3])
  }
}
