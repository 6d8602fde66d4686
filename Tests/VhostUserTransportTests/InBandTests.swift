// SPDX-License-Identifier: Apache-2.0
//
// In-band notifications: kicks, calls and errors as messages.

import Backends
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// What a front-end without event descriptors chooses.
private let inBand = ProtocolFeatures.offered.union(.inBandNotifications)

@Suite(.timeLimit(.minutes(20))) struct InBandTests {
  /// A front-end without any eventfd.
  private final class Client {
    let frontEnd: FrontEnd
    let channel: RawFrontEnd
    var ring: FrontEndRing

    init(_ frontEnd: FrontEnd, _ features: Features, channelFirst: Bool) throws {
      self.frontEnd = frontEnd
      try frontEnd.negotiate(features, protocolFeatures: inBand)
      try frontEnd.shareMemory()
      let pair = try UnixSocket.pair()
      let channel = RawFrontEnd(try pair.first.duplicate())
      self.channel = consume channel
      ring = try frontEnd.makeRing(1, size: 16)
      if channelFirst {
        try frontEnd.tell(.setBackendChannel, descriptors: [pair.second.raw])
      }
      try frontEnd.tell(.setVringSize, VringState(index: 1, number: 16).bytes)
      try frontEnd.tell(.setVringAddress, FrontEnd.address(of: ring).bytes)
      try frontEnd.enableRing(1, true)
      if !channelFirst {
        try kick()
        try frontEnd.tell(.setBackendChannel, descriptors: [pair.second.raw])
      }
    }

    func kick() throws {
      try frontEnd.tell(.vringKick, VringState(index: 1, number: 0).bytes)
    }

    func echo(_ bytes: [UInt8]) throws -> [UInt8] {
      let space = frontEnd.space
      defer { frontEnd.space = space }
      let memory = frontEnd.memory.memory
      let source = frontEnd.space.take(64)
      let target = frontEnd.space.take(64)
      memory.write(bytes, at: source)
      guard
        ring.driver.offer([
          .readable(source, UInt32(bytes.count)), .writable(target, UInt32(bytes.count)),
        ])
      else { throw FrontEndError.badRing }
      // Before the kick: the call must not be missed.
      _ = ring.driver.allowCalls()
      try kick()
      while true {
        if let used = try ring.driver.collect() {
          return memory.bytes(at: target, count: Int(used.written))
        }
        if ring.driver.allowCalls() { continue }
        let call = try channel.receive()
        let expected = Message(
          BackEndRequest.vringCall.rawValue, payload: VringState(index: 1, number: 0).bytes)
        guard call == expected else { throw FrontEndError.badReply }
      }
    }
  }

  @Test(
    "a ring is kicked and called by messages, whenever the channel comes", arguments: formats,
    [true, false])
  func kicksAndCalls(_ features: Features, _ channelFirst: Bool) throws {
    let bed = try ServerBed([EchoDevice()], inBand: true)
    let client = try Client(try bed.frontEnd(), features, channelFirst: channelFirst)
    for byte: UInt8 in 0..<50 { #expect(try client.echo([byte]) == [byte]) }
    // Stopped, and started by a kick again.
    let base = try client.frontEnd.stopRing(1)
    try client.frontEnd.tell(.setVringBase, VringState(index: 1, number: base).bytes)
    for byte: UInt8 in 0..<50 { #expect(try client.echo([byte]) == [byte]) }
  }

  @Test("a ring that breaks is told of by a message where there is no descriptor for it")
  func errors() throws {
    let bed = try ServerBed([EchoDevice()], inBand: true)
    let client = try Client(try bed.frontEnd(), .allRing, channelFirst: true)
    #expect(try client.echo([1]) == [1])
    guard client.ring.driver.offer([.readable(1 << 60, 1)]) else { throw FrontEndError.badRing }
    try client.kick()
    var message = try client.channel.receive()
    while message.request == BackEndRequest.vringCall.rawValue {
      message = try client.channel.receive()
    }
    #expect(
      message
        == Message(
          BackEndRequest.vringError.rawValue, payload: VringState(index: 1, number: 0).bytes))
  }

  @Test("in-band notifications are offered on request only")
  func onRequestOnly() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([], protocolFeatures: inBand)
    #expect(frontEnd.protocolFeatures == .offered)
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setProtocolFeatures, FrontEnd.bytes(inBand.rawValue))
    }
    let other = try ServerBed([EchoDevice()], inBand: true)
    let asked = try other.frontEnd()
    try asked.negotiate([], protocolFeatures: inBand)
    #expect(asked.protocolFeatures == inBand)
  }

  @Test("a kick by message without the feature, or with a number, is refused")
  func badKick() throws {
    let bed = try ServerBed([EchoDevice()], inBand: true)
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([], protocolFeatures: [.replyAck])
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.vringKick, VringState(index: 0, number: 0).bytes)
    }
    try frontEnd.negotiate([], protocolFeatures: inBand)
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.vringKick, VringState(index: 0, number: 1).bytes)
    }
  }

  @Test("a ring whose calls fill the channel takes none of another's calls, changes and errors")
  func sharedChannel() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device], inBand: true)
    let noisy = try Client(try bed.frontEnd(), [.version1], channelFirst: true)
    let frontEnd = noisy.frontEnd
    // More than the channel holds.
    for _ in 0..<1000 {
      let isOffered = noisy.ring.driver.offer([.readable(0x10_0000, 1)])
      #expect(isOffered)
      _ = noisy.ring.driver.allowCalls()
      try noisy.kick()
      #expect(try eventually { try noisy.ring.driver.collect() != nil })
    }
    var quiet = try frontEnd.makeRing(0, size: 16)
    try frontEnd.tell(.setVringSize, VringState(index: 0, number: 16).bytes)
    try frontEnd.tell(.setVringAddress, FrontEnd.address(of: quiet).bytes)
    try frontEnd.enableRing(0, true)
    let isOffered = quiet.driver.offer([.readable(0x10_0000, 1)])
    #expect(isOffered)
    _ = quiet.driver.allowCalls()
    try frontEnd.tell(.vringKick, VringState(index: 0, number: 0).bytes)
    #expect(try eventually { try quiet.driver.collect() != nil })
    // The worker looks at the ring, makes its call, and sleeps: then it can be stopped.
    _ = try frontEnd.stopRing(0)
    device.configurationChange.signal()
    let call = Message(
      BackEndRequest.vringCall.rawValue, payload: VringState(index: 0, number: 0).bytes)
    let change = Message(BackEndRequest.configurationChange.rawValue)
    var missing = [call, change]
    while !missing.isEmpty {
      let message = try noisy.channel.receive()
      missing.removeAll { $0 == message }
    }
    #expect(missing.isEmpty)
  }

  @Test("a channel that nobody reads holds up neither the ring nor the server")
  func unreadChannel() throws {
    let bed = try ServerBed([EchoDevice()], inBand: true)
    let client = try Client(try bed.frontEnd(), [.version1], channelFirst: true)
    for _ in 0..<1000 {
      let isOffered = client.ring.driver.offer([.readable(0x10_0000, 1)])
      #expect(isOffered)
      _ = client.ring.driver.allowCalls()
      try client.kick()
      #expect(try eventually { try client.ring.driver.collect() != nil })
    }
    _ = try client.frontEnd.stopRing(1)
  }
}
