// SPDX-License-Identifier: Apache-2.0
//
// Requests in any legal order: a front-end that does at random what it may do, with a model of what it
// has said. A ring of which everything is said must serve; one that was stopped goes on where it stood.

import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// What was said of one ring.
private struct RingModel {
  /// What must be said before a ring can run; the base before the kick, all else whenever.
  enum Piece: CaseIterable {
    case size, address, base, kick, enable
  }

  var said: Set<Piece> = []
  /// Where the ring stands, from the last GET_VRING_BASE.
  var base: UInt32?

  func isRunning(hasMemory: Bool) -> Bool { hasMemory && said.count == Piece.allCases.count }
}

/// A ring that is reached by reference.
private final class RingBox {
  var ring: FrontEndRing

  init(_ ring: consuming FrontEndRing) { self.ring = ring }
}

/// A front-end with two rings that walks about.
private final class Wanderer {
  private let frontEnd: FrontEnd
  private var random: SplitMix
  private var models = [RingModel(), RingModel()]
  private let boxes: [RingBox]
  private var hasMemory = false
  private let extra: SharedGuestMemory
  private var hasExtra = false
  private let start: UInt32
  private(set) var echoes = 0

  init(_ frontEnd: FrontEnd, _ features: Features, seed: UInt64) throws {
    self.frontEnd = frontEnd
    random = SplitMix(seed: seed)
    start = features.contains(.packedRing) ? 0x8000_8000 : 0
    extra = try SharedGuestMemory([0x4000_0000..<0x4000_1000])
    try frontEnd.negotiate(features)
    boxes = [
      RingBox(try frontEnd.makeRing(0, size: 32)), RingBox(try frontEnd.makeRing(1, size: 16)),
    ]
  }

  /// Takes one step at random, and sees that all rings that must serve do.
  func step() throws {
    try step(boxes[Int(random.next() % 2)])
    for (box, model) in zip(boxes, models) where model.isRunning(hasMemory: hasMemory) {
      try echo(box)
    }
  }

  private func step(_ box: RingBox) throws {
    let index = box.ring.index
    let isRunning = models[index].isRunning(hasMemory: hasMemory)
    let number = FrontEnd.bytes(UInt64(index))
    let size = VringState(index: UInt32(index), number: UInt32(box.ring.driver.plan.size)).bytes
    switch random.next() % 20 {
    case 0: try frontEnd.tell(.setOwner)
    case 1: _ = try frontEnd.askNumber(.getFeatures)
    case 2:
      try frontEnd.tell(
        .setFeatures, FrontEnd.bytes(frontEnd.features.rawValue | protocolFeaturesBit))
    case 3: _ = try frontEnd.askNumber(.getQueueCount)
    case 4: try changeMemory()
    case 5:
      try frontEnd.tell(.setVringSize, size)
      models[index].said.insert(.size)
    case 6, 7:
      try frontEnd.tell(.setVringAddress, FrontEnd.address(of: box.ring).bytes)
      models[index].said.insert(.address)
    case 8, 9, 10:
      guard !isRunning, !models[index].said.contains(.kick) else { break }
      try frontEnd.tell(
        .setVringBase,
        VringState(index: UInt32(index), number: models[index].base ?? start).bytes)
      models[index].said.insert(.base)
    case 11, 12, 13:
      guard models[index].said.contains(.base) else { break }
      try frontEnd.tell(.setVringKick, number, descriptors: [box.ring.kick.descriptor.raw])
      models[index].said.insert(.kick)
    case 14:
      try frontEnd.tell(.setVringCall, number, descriptors: [box.ring.call.descriptor.raw])
    case 15, 16:
      let isEnabled = random.next() % 4 != 0
      try frontEnd.enableRing(index, isEnabled)
      if isEnabled {
        models[index].said.insert(.enable)
      } else {
        models[index].said.remove(.enable)
      }
    case 17:
      // Only a ring that was started stands anywhere else than was said.
      let hadBase = models[index].said.contains(.base)
      let base = try frontEnd.stopRing(index)
      if hadBase { models[index].base = base }
      models[index].said.subtract([.kick, .base])
    case 18: _ = try frontEnd.readConfiguration(byteCount: Int(random.next() % 64))
    default:
      guard random.next() % 8 == 0 else { break }
      try reset()
    }
  }

  private func changeMemory() throws {
    let description = extra.descriptions[0].singleRegionBytes
    if !hasMemory || random.next() % 2 == 0 {
      try frontEnd.shareMemory()
      hasMemory = true
      hasExtra = false
    } else if hasExtra {
      try frontEnd.tell(.removeMemoryRegion, description)
      hasExtra = false
    } else {
      try frontEnd.tell(.addMemoryRegion, description, descriptors: extra.descriptors)
      hasExtra = true
    }
  }

  /// The device forgets its driver, which begins anew with rings that are cleared.
  private func reset() throws {
    if random.next() % 2 == 0 {
      try frontEnd.tell(.resetDevice)
    } else {
      try frontEnd.tell(.setStatus, FrontEnd.bytes(0))
    }
    for index in models.indices {
      models[index].said.subtract([.base, .kick, .enable])
      models[index].base = nil
    }
    for box in boxes {
      box.ring.driver = Driver(
        box.ring.driver.plan, memory: frontEnd.memory.memory, features: frontEnd.features)
    }
  }

  private func echo(_ box: RingBox) throws {
    let memory = frontEnd.memory.memory
    let bytes = (0..<8).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    let source = frontEnd.space.next
    memory.write(bytes, at: source)
    guard box.ring.offer([.readable(source, 8), .writable(source + 64, 8)]) else {
      throw FrontEndError.badRing
    }
    // Calls are not looked at: their descriptor may not have been said.
    var used: UsedChain?
    guard
      try eventually({
        used = try box.ring.driver.collect()
        return used != nil
      }), used?.written == 8, memory.bytes(at: source + 64, count: 8) == bytes
    else { throw FrontEndError.badRing }
    echoes += 1
  }
}

@Suite(.timeLimit(.minutes(20))) struct OrderTests {
  @Test(
    "whatever the order of requests, rings serve as soon as all is said", arguments: formats,
    0..<8 as Range<UInt64>)
  func anyLegalOrder(_ features: Features, _ seed: UInt64) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let wanderer = try Wanderer(try bed.frontEnd(), features, seed: seed)
    for _ in 0..<1500 { try wanderer.step() }
    #expect(wanderer.echoes > 50)
    #expect(device.starts > 10)
    #expect(bed.lines.all.allSatisfy { !$0.contains("is stopped") && !$0.contains("refused") })
    #expect(bed.stop())
  }

  /// The orders of three front-ends, from a ring's size to its being enabled.
  static let orders: [String: [FrontEndRequest]] = [
    "QEMU": [
      .setVringCall, .setFeatures, .setMemoryTable, .setVringSize, .setVringBase,
      .setVringAddress, .setVringKick, .setVringCall, .setVringEnable,
    ],
    "User-mode Linux": [
      .setFeatures, .setMemoryTable, .setVringCall, .setVringSize, .setVringBase,
      .setVringAddress, .setVringKick, .setFeatures, .setVringEnable,
    ],
    "DPDK's virtio-user": [
      .setFeatures, .setVringCall, .setMemoryTable, .setVringSize, .setVringBase,
      .setVringAddress, .setVringKick, .setVringEnable,
    ],
    "enabled first, memory last": [
      .setFeatures, .setVringEnable, .setVringKick, .setVringCall, .setVringAddress,
      .setVringSize, .setMemoryTable,
    ],
  ]

  @Test("the orders of known front-ends are served", arguments: formats, orders.keys.sorted())
  func knownOrders(_ features: Features, _ name: String) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(features)
    let ring = try frontEnd.makeRing(0, size: 64)
    let start: UInt32 = features.contains(.packedRing) ? 0x8000_8000 : 0
    for request in Self.orders[name] ?? [] {
      switch request {
      case .setFeatures:
        try frontEnd.tell(
          request, FrontEnd.bytes(frontEnd.features.rawValue | protocolFeaturesBit))
      case .setMemoryTable: try frontEnd.shareMemory()
      case .setVringSize: try frontEnd.tell(request, VringState(index: 0, number: 64).bytes)
      case .setVringBase: try frontEnd.tell(request, VringState(index: 0, number: start).bytes)
      case .setVringAddress: try frontEnd.tell(request, FrontEnd.address(of: ring).bytes)
      case .setVringEnable: try frontEnd.enableRing(0, true)
      case .setVringKick:
        try frontEnd.tell(
          request, FrontEnd.bytes(0), descriptors: [ring.kick.descriptor.raw])
      default:
        try frontEnd.tell(
          request, FrontEnd.bytes(0), descriptors: [ring.call.descriptor.raw])
      }
    }
    let client = EchoClient(frontEnd, running: ring)
    for byte: UInt8 in 0..<100 { #expect(try client.echo([byte]) == [byte]) }
  }
}
