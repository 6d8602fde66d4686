// SPDX-License-Identifier: Apache-2.0
//
// Front-ends that come and go, in every way, and the places to meet them.

import Backends
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
    var nobody: InlineArray<1, PollEntry> = [.ignored]
    _ = try Poll.wait(&nobody, timeout: .milliseconds(5))
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
    first = nil
    second.patience = .seconds(5)
    let reply = try second.receiveReply(to: .getQueueCount)
    #expect(reply == FrontEnd.bytes(2))
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

  @Test("while a device's request hangs, others can see which, and remove the sockets")
  func hangingRequest() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd())
    #expect(try client.echo([1]) == [1])
    device.hang.set(true)
    defer { device.hang.set(false) }
    try client.offerOne()
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
    let directory: SocketDirectory
    do {
      let bed = try ServerBed([EchoDevice(), EchoDevice()])
      directory = bed.directory
      let clients = [try EchoClient(try bed.frontEnd(0)), try EchoClient(try bed.frontEnd(1))]
      let start = MonotonicClock.nanoseconds
      #expect(bed.stop())
      #expect(MonotonicClock.nanoseconds - start < 1_000_000_000)
      for client in clients { try client.frontEnd.raw.waitForClose() }
    }
    #expect(!FileSystem.exists(directory.file("dev0.sock")))
    #expect(!FileSystem.exists(directory.file("dev1.sock")))
  }
}

@Suite(.timeLimit(.minutes(20))) struct PlaceTests {
  @Test("a socket that nobody listens on any more is replaced")
  func staleSocket() throws {
    let directory = try SocketDirectory()
    let path = directory.file("dev0.sock")
    do { _ = try UnixSocket.listen(path) }
    #expect(FileSystem.exists(path))
    let bed = try ServerBed([EchoDevice()], in: directory)
    #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1])
  }

  @Test("a socket that another process listens on is a clear error, and stays")
  func liveSocket() throws {
    let bed = try ServerBed([EchoDevice()])
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed([EchoDevice()], in: bed.directory)
    }
    #expect(
      error?.description
        == "cannot listen on \(bed.path()): another process listens there; end it first")
    #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1])
  }

  @Test("a file that is no socket is a clear error, and stays")
  func fileInTheWay() throws {
    let directory = try SocketDirectory()
    let path = directory.file("dev0.sock")
    try FileSystem.makeDirectory(path)
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed([EchoDevice()], in: directory)
    }
    #expect(error?.description.contains("a file that is no socket is there") ?? false)
    try FileSystem.removeDirectory(path)
  }

  @Test("where one place is refused, sockets made before it are removed")
  func undone() throws {
    let directory = try SocketDirectory()
    let good = directory.file("good.sock")
    #expect(throws: DeviceError.self) {
      _ = try ServerBed(
        [EchoDevice(), EchoDevice()],
        at: [.listen(good), .listen(directory.file("missing/bad.sock"))], in: directory)
    }
    #expect(!FileSystem.exists(good))
  }

  @Test("a path too long for a socket is a clear error")
  func pathTooLong() throws {
    let directory = try SocketDirectory()
    let path = directory.file(String(repeating: "x", count: 108))
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed([EchoDevice()], at: [.listen(path)], in: directory)
    }
    #expect(error?.description.hasPrefix("cannot listen on ") ?? false)
  }

  @Test("the socket has the permissions that were asked for", arguments: [0o600, 0o660, 0o777])
  func permissions(_ mode: UInt32) throws {
    let directory = try SocketDirectory()
    let path = directory.file("dev0.sock")
    let bed = try ServerBed(
      [EchoDevice()], at: [.listen(path, SocketAccess(mode: mode))], in: directory)
    #expect(try FileSystem.status(of: path).permissions == mode)
    #expect(bed.stop())
  }

  @Test("a socket that somebody has put in the place of ours is not removed")
  func notOursToRemove() throws {
    let bed = try ServerBed([EchoDevice()])
    try FileSystem.remove(bed.path())
    do { _ = try UnixSocket.listen(bed.path()) }
    #expect(bed.stop())
    #expect(FileSystem.exists(bed.path()))
    try FileSystem.remove(bed.path())
  }

  @Test("a connected descriptor serves one front-end, and then the server is done")
  func connectedDescriptor() throws {
    let pair = try UnixSocket.pair()
    let bed = try ServerBed(
      [EchoDevice()], at: [.descriptor(try pair.second.duplicate().release())],
      in: try SocketDirectory())
    do {
      let raw = RawFrontEnd(try pair.first.duplicate())
      #expect(try EchoClient(try FrontEnd(raw)).echo([1]) == [1])
    }
    _ = consume pair
    #expect(bed.waitForEnd())
  }

  @Test("a listening descriptor serves one front-end after the other")
  func listeningDescriptor() throws {
    let directory = try SocketDirectory()
    let path = directory.file("dev0.sock")
    let listener = try UnixSocket.listen(path)
    let bed = try ServerBed(
      [EchoDevice()], at: [.descriptor(listener.release())], in: directory)
    for _ in 0..<3 { #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1]) }
    #expect(bed.stop())
    // It was not made here.
    #expect(FileSystem.exists(path))
    try FileSystem.remove(path)
  }

  @Test("a descriptor that is no socket is a clear error")
  func noSocket() throws {
    let event = try EventFD()
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed(
        [EchoDevice()], at: [.descriptor(try event.descriptor.duplicate().release())],
        in: try SocketDirectory())
    }
    #expect(error?.description.hasPrefix("cannot use file descriptor ") ?? false)
  }

  @Test("a server that connects finds a front-end that listens, and again when that was away")
  func connects() throws {
    let directory = try SocketDirectory()
    let path = directory.file("front.sock")
    let bed = try ServerBed([EchoDevice()], at: [.connect(path)], in: directory)
    #expect(bed.lines.contains("no front-end at \(path): No such file or directory; trying again"))
    for _ in 0..<2 {
      let listener = try UnixSocket.listen(path)
      _ = try Poll.wait(for: .readable, on: listener, timeout: .seconds(5))
      guard let socket = try UnixSocket.accept(on: listener) else { throw FrontEndError.closed }
      #expect(try EchoClient(try FrontEnd(RawFrontEnd(socket))).echo([1]) == [1])
      try FileSystem.remove(path)
    }
    #expect(bed.stop())
  }

  @Test("with `once` a look at who listens does not end the device")
  func onceAndLookedAt() throws {
    let bed = try ServerBed([EchoDevice()], once: true)
    for _ in 0..<3 {
      #expect(try UnixSocket.state(of: bed.path()) == .live)
      #expect(bed.lines.contains("closed the connection"))
    }
    #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1])
    #expect(bed.waitForEnd())
  }

  @Test("with `once` a server is done when its front-ends have gone")
  func once() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()], once: true)
    for index in 0..<2 {
      #expect(try EchoClient(try bed.frontEnd(index)).echo([1]) == [1])
    }
    #expect(bed.waitForEnd())
  }
}

extension RawFrontEnd {
  /// Sends messages that mostly look right, and whose content seldom is.
  borrowing func sendNonsense(_ seed: UInt64, messages: Int = 50) throws {
    var random = SeededRandom(seed)
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
