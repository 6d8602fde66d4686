// SPDX-License-Identifier: Apache-2.0
//
// How front-ends stop rings, and go on: in each order of what they send, nothing that was done is done again,
// and nothing is left out.

import Backends
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// The orders of front-ends, in the form of a recording. `RINGS` stands for the lines below it, once for each ring.
private enum FrontEndOrder: String, CaseIterable {
  case qemu72 = "QEMU 7.2"
  case qemu10 = "QEMU 10"
  case uml61 = "User-mode Linux 6.1"
  case dpdk = "DPDK's virtio-user"

  static func negotiate(_ features: String) -> String {
    """
    connect
    > GET_FEATURES
    > GET_PROTOCOL_FEATURES
    > SET_PROTOCOL_FEATURES value=\(features)
    > GET_QUEUE_NUM
    > SET_OWNER
    """
  }

  func forEachRing(_ lines: String...) -> String {
    (0..<2).map { index in
      lines.map { $0.replacing("index=", with: "index=\(index)") }.joined(separator: "\n")
    }.joined(separator: "\n")
  }

  func connect() -> String {
    switch self {
    case .qemu72, .qemu10: Self.negotiate("0x12a29")
    case .uml61: Self.negotiate("0x20")
    case .dpdk: Self.negotiate("0x10008")
    }
  }

  /// - Parameter base: `num` of SET_VRING_BASE.
  func start(_ base: String) -> String {
    switch self {
    case .qemu72:
      """
      > SET_FEATURES value=0x40000000 reply
      > SET_MEM_TABLE regions=1 reply fds=1
      \(forEachRing(
        "> SET_VRING_NUM index= num=128", "> SET_VRING_BASE index= num=\(base)",
        "> SET_VRING_ADDR index= flags=0", "> SET_VRING_KICK index= fds=1",
        "> SET_VRING_CALL index= fds=1"))
      \(forEachRing("> SET_VRING_ENABLE index= num=1"))
      > GET_STATUS
      > SET_STATUS value=0xf
      """
    case .qemu10:
      """
      > SET_FEATURES value=0x40000000 reply
      > ADD_MEM_REG reply fds=1
      \(forEachRing(
        "> SET_VRING_NUM index= num=128 reply", "> SET_VRING_BASE index= num=\(base) reply",
        "> SET_VRING_ADDR index= flags=0 reply", "> SET_VRING_CALL index= fds=1",
        "> SET_VRING_KICK index= fds=1"))
      \(forEachRing("> SET_VRING_ENABLE index= num=1 reply"))
      > SET_STATUS value=0xf reply
      > GET_STATUS
      """
    case .uml61:
      """
      > SET_FEATURES value=0x40000000
      > SET_MEM_TABLE regions=1 fds=1
      \(forEachRing(
        "> SET_VRING_CALL index= fds=1", "> SET_VRING_NUM index= num=128",
        "> SET_VRING_BASE index= num=\(base)", "> SET_VRING_ADDR index= flags=0"))
      \(forEachRing("> SET_VRING_KICK index= fds=1", "> SET_VRING_ENABLE index= num=1"))
      """
    case .dpdk:
      """
      \(forEachRing("> SET_VRING_CALL index= fds=1"))
      > SET_FEATURES value=0x40000000 reply
      > SET_MEM_TABLE regions=1 reply fds=1
      \(forEachRing(
        "> SET_VRING_NUM index= num=256", "> SET_VRING_BASE index= num=\(base)",
        "> SET_VRING_ADDR index= flags=0", "> SET_VRING_KICK index= fds=1"))
      \(forEachRing("> SET_VRING_ENABLE index= num=1"))
      > SET_STATUS value=0xf
      """
    }
  }

  func stop() -> String {
    switch self {
    case .qemu72:
      """
      > SET_STATUS value=0x0
      \(forEachRing("> SET_VRING_ENABLE index= num=0"))
      \(forEachRing("> GET_VRING_BASE index="))
      """
    case .qemu10:
      """
      \(forEachRing("> SET_VRING_ENABLE index= num=0 reply"))
      \(forEachRing("> GET_VRING_BASE index="))
      > SET_STATUS value=0x0 reply
      """
    case .uml61:
      """
      \(forEachRing("> SET_VRING_ENABLE index= num=0"))
      > GET_FEATURES
      """
    case .dpdk:
      """
      \(forEachRing("> SET_VRING_ENABLE index= num=0"))
      \(forEachRing("> GET_VRING_BASE index="))
      > SET_STATUS value=0x0
      """
    }
  }
}

@Suite(.timeLimit(.minutes(20))) struct StopOrderTests {
  /// Plays a recording to a device, and looks whether the device has seen each chain once.
  private func play(_ text: String, _ features: Features, to device: EchoDevice) throws {
    let bed = try ServerBed([device])
    let path = bed.path()
    let replay = try Replay(features, ringCount: device.queueSizes.count) {
      try RawFrontEnd(connectingTo: path)
    }
    try replay.play(try RecordedEvent.parse(text))
    #expect(bed.stop())
    try replay.finish()
    #expect(device.statistics.reduce(0) { $0 + $1.chains } == UInt64(replay.served))
    #expect(bed.lines.all.allSatisfy { !$0.contains("is stopped") && !$0.contains("refused") })
  }

  @Test(
    "a guest that is paused again and again goes on where it was, and begins anew when it reboots",
    arguments: ["QEMU 7.2", "QEMU 10"], formats)
  func pauseAndReboot(_ name: String, _ features: Features) throws {
    let order = try #require(FrontEndOrder(rawValue: name))
    let beginning = features.contains(.packedRing) ? "0x80008000" : "0"
    var lines = [order.connect(), order.start(beginning)]
    for _ in 0..<2 {
      for _ in 0..<20 { lines += ["== pause", order.stop(), "== resume", order.start("position")] }
      lines += ["== reboot", order.stop(), order.start(beginning)]
    }
    lines += ["== device_del", order.stop(), "hangup"]
    for id in [DeviceID.block, .net, .rng] {
      try play(
        lines.joined(separator: "\n"), features, to: EchoDevice(id: id, inOrder: id != .block))
    }
  }

  @Test(
    "a driver that resets its device, and one in a new connection, begin at the start",
    arguments: FrontEndOrder.allCases.map(\.rawValue), formats)
  func resets(_ name: String, _ features: Features) throws {
    let order = try #require(FrontEndOrder(rawValue: name))
    // User-mode Linux says 0 for packed rings, too.
    let beginning = name.hasPrefix("QEMU") && features.contains(.packedRing) ? "0x80008000" : "0"
    var lines: [String] = []
    for _ in 0..<3 {
      lines.append(order.connect())
      for _ in 0..<5 { lines += [order.start(beginning), "== reset", order.stop()] }
      lines.append("hangup")
    }
    try play(
      lines.joined(separator: "\n"), features, to: EchoDevice(id: .net, inOrder: true))
  }

  @Test("a front-end that comes back at the used index goes on there", arguments: [false, true])
  func reconnects(inOrder: Bool) throws {
    let order = FrontEndOrder.qemu72
    var lines = [order.connect(), order.start("0")]
    for _ in 0..<5 { lines += ["hangup", order.connect(), order.start("used")] }
    try play(lines.joined(separator: "\n"), formats[0], to: EchoDevice(inOrder: inOrder))
  }

  /// What a front-end may send before it asks where a ring stands.
  private static let before = [
    "> SET_STATUS value=0x0", "> SET_VRING_ENABLE index=0 num=0", "> RESET_OWNER", "> RESET_DEVICE",
    "> SET_FEATURES value=0x40000000",
  ]

  /// All orders of some lines.
  private static func permutations(_ lines: [String]) -> [[String]] {
    if lines.isEmpty { return [[]] }
    return lines.indices.flatMap { index in
      var rest = lines
      let first = rest.remove(at: index)
      return permutations(rest).map { [first] + $0 }
    }
  }

  @Test("whatever comes before GET_VRING_BASE, it tells where the ring stands", arguments: formats)
  func anyOrder(_ features: Features) throws {
    let order = FrontEndOrder.qemu72
    let beginning = features.contains(.packedRing) ? "0x80008000" : "0"
    var lines = [order.connect(), order.start(beginning)]
    for (turn, stop) in Self.permutations(Self.before).enumerated() {
      // All of them, or the first few.
      lines += stop.prefix(1 + turn % Self.before.count)
      lines += ["> GET_VRING_BASE index=0", "> GET_VRING_BASE index=1"]
      lines.append(order.start(turn % 7 == 6 ? beginning : "position"))
    }
    try play(lines.joined(separator: "\n"), features, to: EchoDevice())
  }

  @Test(
    "a ring that has never run stands where it was set, or at its beginning", arguments: formats)
  func neverRun(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(features)
    let beginning: UInt32 = features.contains(.packedRing) ? 0x8000_8000 : 0
    #expect(try frontEnd.stopRing(0) == beginning)
    let place: UInt32 = features.contains(.packedRing) ? 0x8007_8007 : 7
    try frontEnd.tell(.setVringBase, VringState(index: 0, number: place).bytes)
    try frontEnd.tell(.setStatus, FrontEnd.bytes(0))
    #expect(try frontEnd.stopRing(0) == place)
  }

  @Test("a reset without a new base begins at the start", arguments: formats, [false, true])
  func resetWithoutBase(_ features: Features, _ isTold: Bool) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    let first = try EchoClient(frontEnd, features)
    #expect(try first.echo([1]) == [1])
    try frontEnd.tell(.setStatus, FrontEnd.bytes(0))
    if isTold { _ = try frontEnd.stopRing(0) }
    let ring = try frontEnd.makeRing(0, size: 64)
    try frontEnd.tell(.setVringAddress, FrontEnd.address(of: ring).bytes)
    try frontEnd.tell(
      .setVringKick, FrontEnd.bytes(0), descriptors: [ring.kick.descriptor.raw])
    try frontEnd.tell(
      .setVringCall, FrontEnd.bytes(0), descriptors: [ring.call.descriptor.raw])
    try frontEnd.enableRing(0, true)
    #expect(try EchoClient(frontEnd, running: ring).echo([2]) == [2])
  }
}

@Suite(.timeLimit(.minutes(20))) struct KeptRingTests {
  /// Rings of a driver that goes on at another back-end, which is told 0.
  fileprivate final class Keeper {
    let memory: SharedGuestMemory
    var space: GuestSpace
    var ring: FrontEndRing

    let features: Features

    init(_ features: Features = [.version1, .eventIndex]) throws {
      self.features = features
      let range: Range<UInt64> = 0x10_0000..<0x20_0000
      memory = try SharedGuestMemory([range])
      space = GuestSpace(range)
      let plan = RingPlan.split(size: 16, in: &space)
      ring = try FrontEndRing(
        index: 0, driver: Driver(plan, memory: memory.memory, features: features))
    }

    /// Tells a back-end of the ring, from the first request on.
    func start(_ raw: borrowing RawFrontEnd) throws {
      try raw.send(.setFeatures, FrontEnd.bytes(features.rawValue))
      try raw.send(
        .setMemoryTable, RegionDescription.tableBytes(memory.descriptions),
        descriptors: memory.descriptors)
      try raw.send(.setVringSize, VringState(index: 0, number: 16).bytes)
      try raw.send(.setVringBase, VringState(index: 0, number: 0).bytes)
      try raw.send(.setVringAddress, FrontEnd.address(of: ring).bytes)
      try raw.send(.setVringCall, FrontEnd.bytes(0), descriptors: [ring.call.descriptor.raw])
      try raw.send(.setVringKick, FrontEnd.bytes(0), descriptors: [ring.kick.descriptor.raw])
      try raw.send(.getFeatures)
      _ = try raw.receiveReply(to: .getFeatures)
    }

    /// Makes chains available. - Returns: how many found room.
    func offer(_ count: Int) -> Int {
      (0..<count).count { _ in ring.offer([.readable(0x10_0000, 8), .writable(0x1f_0000, 8)]) }
    }

    func collect(_ count: Int) throws {
      for _ in 0..<count { _ = try ring.collect() }
    }
  }

  @Test(
    "a driver whose front-end says 0 to each new back-end goes on where chains come back in order",
    arguments: [1, 7, 8], [false, true])
  func goesOn(_ count: Int, _ isNegotiated: Bool) throws {
    // By the device, or by what its driver has accepted.
    let keeper = try Keeper(isNegotiated ? [.version1, .inOrder] : [.version1, .eventIndex])
    var total = 0
    // More than the ring has entries.
    for round in 0..<8 {
      let device = EchoDevice(inOrder: !isNegotiated)
      let bed = try ServerBed([device])
      // Made available while there is no back-end.
      let early = round == 0 ? 0 : keeper.offer(2)
      let raw = try bed.rawFrontEnd()
      try keeper.start(raw)
      try keeper.collect(early)
      let late = keeper.offer(count)
      try keeper.collect(late)
      total += early + late
      #expect(bed.stop())
      #expect(device.statistics[0].chains == UInt64(early + late))
      #expect(device.returns == (round == 0 ? 0 : 1))
      #expect(bed.lines.all.allSatisfy { !$0.contains("is stopped") })
    }
    #expect(
      keeper.ring.driver.memory.load(UInt16.self, at: keeper.usedIndexAddress) == UInt16(total))
  }

  @Test("a new driver begins at 0 in the session in which another one was, whatever its ring holds")
  func newDriverInSession() throws {
    let keeper = try Keeper()
    let device = EchoDevice(inOrder: true)
    let bed = try ServerBed([device])
    let raw = try bed.rawFrontEnd()
    try keeper.start(raw)
    #expect(keeper.offer(5) == 5)
    try keeper.collect(5)
    try raw.send(.setStatus, FrontEnd.bytes(0))
    // It has not zeroed its used ring, and has made as much available as the old one.
    let fresh = try Keeper()
    fresh.memory.memory.store(UInt16(3), at: fresh.usedIndexAddress)
    try fresh.start(raw)
    #expect(fresh.offer(5) == 5)
    #expect(eventually { device.statistics[0].chains == 10 })
    #expect(bed.stop())
  }

  @Test("a new driver that has not zeroed its ring begins at 0 where it cannot be the old one")
  func staleUsedIndex() throws {
    let keeper = try Keeper()
    keeper.memory.memory.store(UInt16(300), at: keeper.usedIndexAddress)
    let device = EchoDevice(inOrder: true)
    let bed = try ServerBed([device])
    #expect(keeper.offer(5) == 5)
    let raw = try bed.rawFrontEnd()
    try keeper.start(raw)
    #expect(eventually { device.statistics[0].chains == 5 })
    #expect(bed.stop())
  }

  @Test("where chains come back in any order, 0 is the beginning")
  func notInOrder() throws {
    let keeper = try Keeper()
    for round in 1...2 {
      let device = EchoDevice(inOrder: false)
      let bed = try ServerBed([device])
      if round == 1 { #expect(keeper.offer(5) == 5) }
      let raw = try bed.rawFrontEnd()
      try keeper.start(raw)
      // The second serves them anew: it cannot know which of them are done.
      #expect(eventually { device.statistics[0].chains == 5 })
      #expect(bed.stop())
    }
  }
}

extension KeptRingTests.Keeper {
  fileprivate var usedIndexAddress: UInt64 {
    guard case .split(_, _, let used) = ring.driver.plan.layout else { return 0 }
    return used + 2
  }
}
