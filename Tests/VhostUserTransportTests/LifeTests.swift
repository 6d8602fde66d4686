// SPDX-License-Identifier: Apache-2.0
//
// Front-ends that come and go, in every way.

import Backends
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// What a front-end does from its first request to its last, one step after the other.
enum Step: Int, CaseIterable {
  case connect, halfMessage, askFeatures, askProtocolFeatures, negotiate, memory, size, base
  case address, call, kick, error, channel, enable, request, halfReply, disable, stop, status, reset

  /// Takes all steps up to this one, and leaves.
  static func goThrough(_ last: Step, _ bed: ServerBed, _ features: Features) throws {
    let frontEnd = try bed.frontEnd()
    let plan: RingPlan =
      features.contains(.packedRing)
      ? .packed(size: 16, in: &frontEnd.space) : .split(size: 16, in: &frontEnd.space)
    var ring = try FrontEndRing(
      index: 0, driver: Driver(plan, memory: frontEnd.memory.memory, features: features))
    let pair = try UnixSocket.pair()
    let state = VringState(index: 0, number: 16).bytes
    let owner = Message(FrontEndRequest.setOwner.rawValue).bytes
    for step in Step.allCases.prefix(last.rawValue + 1) {
      switch step {
      case .connect: break
      case .halfMessage:
        try frontEnd.raw.send(bytes: Array(owner[..<7]))
        if last != step { try frontEnd.raw.send(bytes: Array(owner[7...])) }
      case .askFeatures: try frontEnd.raw.send(.getFeatures)
      case .askProtocolFeatures:
        _ = try frontEnd.raw.receiveReply(to: .getFeatures)
        try frontEnd.raw.send(.getProtocolFeatures)
      case .negotiate:
        _ = try frontEnd.raw.receiveReply(to: .getProtocolFeatures)
        try frontEnd.negotiate(features)
      case .memory: try frontEnd.shareMemory()
      case .size: try frontEnd.tell(.setVringSize, state)
      case .base:
        let base = features.contains(.packedRing) ? 0x8000_8000 : 0 as UInt32
        try frontEnd.tell(.setVringBase, VringState(index: 0, number: base).bytes)
      case .address: try frontEnd.tell(.setVringAddress, FrontEnd.address(of: ring).bytes)
      case .call:
        try frontEnd.tell(
          .setVringCall, FrontEnd.bytes(0), descriptors: [ring.call.descriptor.raw])
      case .kick:
        try frontEnd.tell(
          .setVringKick, FrontEnd.bytes(0), descriptors: [ring.kick.descriptor.raw])
      case .error:
        try frontEnd.tell(
          .setVringError, FrontEnd.bytes(0), descriptors: [ring.kick.descriptor.raw])
      case .channel: try frontEnd.tell(.setBackendChannel, descriptors: [pair.second.raw])
      case .enable: try frontEnd.enableRing(0, true)
      case .request:
        for token in 0..<4 as Range<UInt64> {
          let start = frontEnd.space.next
          _ = ring.offer([.readable(start, 8), .writable(start + 64, 8)], token: token)
        }
      case .halfReply:
        _ = try ring.collect()
        // Asked for and never read, if this is the last step.
        try frontEnd.raw.send(.getQueueCount)
      case .disable:
        _ = try frontEnd.raw.receiveReply(to: .getQueueCount)
        try frontEnd.enableRing(0, false)
      case .stop: _ = try frontEnd.stopRing(0)
      case .status: try frontEnd.tell(.setStatus, FrontEnd.bytes(15))
      case .reset: try frontEnd.tell(.resetDevice)
      }
    }
  }
}

/// How many descriptors are open when nothing has changed for a while.
private func settledDescriptorCount() throws -> Int {
  var count = 0
  var looks = 0
  while looks < 20 {
    let now = try Process.openDescriptorCount()
    looks = now == count ? looks + 1 : 0
    count = now
    pause(.milliseconds(5))
  }
  return count
}

/// How many descriptors were open.
private struct LostDescriptors: Error {
  let before: Int
  let after: Int
}

@Suite(.timeLimit(.minutes(20))) struct LifeTests {
  @Test(
    "a front-end that is gone after any step leaves the next one served", arguments: formats,
    Step.allCases)
  func goneAfterAnyStep(_ features: Features, _ last: Step) throws {
    let bed = try ServerBed([EchoDevice()])
    try Step.goThrough(last, bed, features)
    #expect(try EchoClient(try bed.frontEnd(), features).echo([1, 2, 3]) == [1, 2, 3])
    #expect(bed.stop())
  }

  @Test("no descriptor is lost, whenever front-ends leave and whatever they send")
  func noDescriptorIsLost() async {
    // In a process of its own: others open and close descriptors here.
    await #expect(processExitsWith: .success) {
      let bed = try ServerBed([EchoDevice(), EchoDevice()])
      func goThroughAll() throws {
        for features in formats {
          for last in Step.allCases { try Step.goThrough(last, bed, features) }
        }
        for seed in 0..<20 as Range<UInt64> {
          let raw = try bed.rawFrontEnd()
          try raw.sendNonsense(seed)
          _ = consume raw
        }
        // All of that has been noticed when the next one is served.
        try EchoClient(try bed.frontEnd()).echoPolling([1])
      }
      // The first round opens what stays open, such as what the runtime needs.
      try goThroughAll()
      let before = try settledDescriptorCount()
      for _ in 0..<3 { try goThroughAll() }
      let isSame = try eventually { try Process.openDescriptorCount() == before }
      guard isSame else {
        throw LostDescriptors(before: before, after: try Process.openDescriptorCount())
      }
      guard bed.stop() else { throw FrontEndError.badReply }
    }
  }

  @Test("a front-end reconnects at once, a hundred times")
  func reconnects() throws {
    let bed = try ServerBed([EchoDevice()])
    for round in 0..<100 {
      let client = try EchoClient(try bed.frontEnd(), formats[round % 2])
      #expect(try client.echo([UInt8(round)]) == [UInt8(round)])
    }
    #expect(bed.stop())
  }

  @Test("a second front-end on one socket waits until the first is gone")
  func secondWaits() throws {
    let bed = try ServerBed([EchoDevice()])
    var first: EchoClient? = try EchoClient(try bed.frontEnd())
    var second = try bed.rawFrontEnd()
    second.patience = .milliseconds(50)
    try second.send(.getQueueCount)
    #expect(throws: FrontEndError.timeout) {
      // The noncopyable connection stays outside of the macro.
      try Self.receiveReply(second)
    }
    #expect(try first?.echo([1]) == [1])
    #expect(
      bed.lines.contains("warning echo0: another front-end waits: one is served at a time"))
    first = nil
    second.patience = soon
    let reply = try second.receiveReply(to: .getQueueCount)
    #expect(reply == FrontEnd.bytes(2))
  }

  @Test("a front-end that has the device to itself is not said to wait")
  func onlyOne() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    let first = try EchoClient(try bed.frontEnd())
    // Looked at once a second: after the second look, another device's has been reported for certain.
    let other = try EchoClient(try bed.frontEnd(1))
    let waiting = try bed.rawFrontEnd(1)
    #expect(bed.lines.contains("another front-end waits"))
    #expect(try first.echo([1]) == [1])
    #expect(try other.echo([1]) == [1])
    _ = consume waiting
    #expect(bed.lines.all.count { $0.contains("another front-end waits") } == 1)
  }

  private static func receiveReply(_ raw: borrowing RawFrontEnd) throws {
    _ = try raw.receiveReply(to: .getQueueCount)
  }

  @Test("a front-end that never reads its socket holds up nobody, and is bounded")
  func neverReads() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    let other = try EchoClient(try bed.frontEnd(1))
    let raw = try bed.rawFrontEnd()
    let question = Message(
      FrontEndRequest.getConfiguration.rawValue,
      payload: ConfigurationAccess(offset: 0, content: [UInt8](repeating: 0, count: 4096)).bytes
    ).bytes
    // Until the socket takes no more: then the server has stopped reading.
    var sent = 0
    while let count = try? raw.socket.sendMessage(question, wait: false) {
      sent += count
      if count < question.count { break }
    }
    #expect(sent < 16 << 20)
    #expect(try other.echo([1]) == [1])
    _ = consume raw
    #expect(try EchoClient(try bed.frontEnd()).echo([2]) == [2])
    #expect(bed.stop())
  }

  @Test("half a message holds up no other device")
  func halfAMessage() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    let raw = try bed.rawFrontEnd()
    try raw.send(bytes: [1, 0, 0])
    #expect(try EchoClient(try bed.frontEnd(1)).echo([1]) == [1])
    try raw.send(bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0])
    _ = try raw.receiveReply(to: .getFeatures)
  }

  @Test(
    "the device is reset when the next front-end brings a new driver, whatever the last had done")
  func resetAtTheStart() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    for round in 1...5 {
      _ = try EchoClient(try bed.frontEnd()).echo([1])
      #expect(device.resets == round)
    }
    #expect(device.returns == 0)
    #expect(bed.stop())
    #expect(device.resets == 5)
  }

  @Test("the server counts what happens at each device")
  func counts() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    do {
      let client = try EchoClient(try bed.frontEnd(1))
      #expect(throws: FrontEndError.refused) {
        try client.frontEnd.tell(.setVringSize, VringState(index: 0, number: 0).bytes)
      }
      #expect(client.offer([.readable(1 << 60, 1)]))
      #expect(bed.lines.contains("is stopped"))
    }
    let raw = try bed.rawFrontEnd(1)
    try raw.send(Message(0))
    try raw.waitForClose()
    #expect(bed.stop())
    let counted = bed.statistics
    #expect(counted.count == 2)
    #expect(counted.first == EndpointStatistics())
    #expect(counted.last?.sessions == 2)
    #expect(counted.last?.errors == 1)
    #expect(counted.last?.refusals == 1)
    #expect(counted.last?.faults == 1)
  }

  @Test(
    "a device whose stop waits for a request that hangs holds up no other device",
    arguments: formats)
  func hangingStop(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device, EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    let running = try EchoClient(try bed.frontEnd(1), features)
    device.hang.set(true)
    defer { device.hang.set(false) }
    try client.offerOne()
    #expect(eventually { device.hang.isFelt })
    try client.frontEnd.raw.send(.getVringBase, VringState(index: 0, number: 0).bytes)
    #expect(eventually { bed.witness?.busyDevice == "echo0" })
    // One that is there already is served and answered, and its next front-end comes, negotiates and starts.
    #expect(try running.echo([1]) == [1])
    _ = try running.frontEnd.stopRing(0)
    try running.frontEnd.tell(.resetDevice)
    #expect(try EchoClient(running.frontEnd, features).echo([2]) == [2])
    let channel = try bed.rawFrontEnd(1)
    #expect(device.hang.isFelt)
    device.hang.set(false)
    _ = try client.frontEnd.raw.receiveReply(to: .getVringBase)
    _ = consume channel
    #expect(bed.stop())
  }

  @Test("while a device's request hangs, others can see which, and remove the sockets")
  func hangingRequest() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd())
    #expect(try client.echo([1]) == [1])
    device.hang.set(true)
    defer { device.hang.set(false) }
    try client.offerOne()
    // One that is not begun does not hang.
    #expect(eventually { device.hang.isFelt })
    try client.frontEnd.raw.send(.getVringBase, VringState(index: 0, number: 0).bytes)
    #expect(eventually { bed.witness?.busyDevice == "echo0" })
    bed.witness?.removeSockets()
    #expect(!FileSystem.exists(bed.path()))
    device.hang.set(false)
    _ = try client.frontEnd.raw.receiveReply(to: .getVringBase)
    #expect(eventually { bed.witness?.busyDevice == nil })
    #expect(bed.stop())
  }

  @Test("the server ends though front-ends are there and rings run")
  func endsWhileServing() throws {
    let directory: TemporaryDirectory
    do {
      let bed = try ServerBed([EchoDevice(), EchoDevice()])
      directory = bed.directory
      let clients = [try EchoClient(try bed.frontEnd(0)), try EchoClient(try bed.frontEnd(1))]
      let start = ContinuousClock.now
      #expect(bed.stop())
      #expect(ContinuousClock.now - start < soon)
      for client in clients { try client.frontEnd.raw.waitForClose() }
    }
    #expect(!FileSystem.exists(directory.file("dev0.sock")))
    #expect(!FileSystem.exists(directory.file("dev1.sock")))
  }
}

extension RawFrontEnd {
  /// Sends messages that mostly look right, and whose content seldom is.
  borrowing func sendNonsense(_ seed: UInt64, messages: Int = 50) throws {
    var random = SplitMix(seed: seed)
    let event = try EventFD()
    let file = try Memfd.create(name: "nonsense", size: 65536)
    for _ in 0..<messages {
      let request = UInt32.random(in: 0...42, using: &random)
      let flags: UInt32 = random.next() % 50 == 0 ? UInt32(random.next() % 16) : 1
      let size = [0, 8, 8, 40, 40, 20, Int(random.next() % 64)].randomElement(using: &random) ?? 0
      let payload = (0..<size).map { _ in
        random.next() % 4 == 0 ? UInt8(truncatingIfNeeded: random.next()) : 0
      }
      let descriptors =
        [[], [], [event.descriptor.raw], [file.raw]].randomElement(using: &random) ?? []
      do {
        try send(
          Message(request, flags: flags | 8, payload: payload), descriptors: descriptors)
      } catch .closed {
        return
      }
    }
  }
}
