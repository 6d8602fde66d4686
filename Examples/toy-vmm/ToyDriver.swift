// SPDX-License-Identifier: Apache-2.0
//
// ToyDriver: the guest. VirtioTesting brings the driver's side of a ring; what a driver does with it for
// each request is here.

import Linux
import VirtioRing
import VirtioTesting

/// What went wrong in the guest.
enum GuestError: Error {
  case ringFull
  /// The device says that it needs to be reset.
  case deviceIsBroken
  /// The status byte of a disk's request.
  case requestFailed(UInt8)
}

/// A driver of one queue of one device.
struct ToyDriver: ~Copyable {
  private let transport: ToyTransport
  private let memory: TestMemory
  private var ring: Driver
  /// Where the buffers are.
  private let buffers: UInt64
  /// Where the ring is.
  let plan: RingPlan

  /// Negotiates, and starts the device with one ring.
  ///
  /// - Parameters:
  ///   - space: guest-physical addresses that nobody has taken yet.
  ///   - features: to accept; the format of the ring is among them.
  init(
    _ transport: ToyTransport, memory: GuestMemory, space: inout GuestSpace, features: Features
  ) throws {
    let memory = TestMemory(sharing: memory)
    let plan: RingPlan =
      features.contains(.packedRing)
      ? .packed(size: 16, in: &space) : .split(size: 16, in: &space)
    let ring = Driver(plan, memory: memory, features: features)
    try transport.accept(features)
    try transport.configure(queue: 0, plan.layout, size: plan.size)
    try transport.start()
    self.transport = transport
    self.memory = memory
    self.plan = plan
    self.ring = ring
    buffers = space.take(8192, alignment: 4096)
  }

  /// Makes a chain of buffers available and waits until the device has used it.
  ///
  /// - Returns: how many bytes the device says it has written.
  private mutating func request(_ chain: [DriverBuffer]) throws -> UInt32 {
    guard ring.offer(chain) else { throw GuestError.ringFull }
    if ring.needsKick() { transport.kick(queue: 0) }
    while true {
      if let used = try ring.collect() { return used.written }
      if transport.isBroken { throw GuestError.deviceIsBroken }
      if !ring.allowCalls() { try transport.waitForCall(queue: 0) }
    }
  }

  // MARK: An entropy device

  /// Random bytes, up to 4096.
  mutating func entropy(_ count: UInt32) throws -> [UInt8] {
    let written = try request([.writable(buffers, count)])
    return memory.bytes(at: buffers, count: Int(written))
  }

  // MARK: A disk (virtio 1.3, 5.2.6)

  /// Writes a sector.
  mutating func write(_ bytes: [UInt8], sector: UInt64) throws {
    memory.write(bytes, at: buffers + 4096)
    try disk(type: 1, sector, [.readable(buffers + 4096, UInt32(bytes.count))])
  }

  /// Reads a sector.
  mutating func read(sector: UInt64) throws -> [UInt8] {
    try disk(type: 0, sector, [.writable(buffers + 4096, 512)])
    return memory.bytes(at: buffers + 4096, count: 512)
  }

  /// Makes what was written durable.
  mutating func flush() throws { try disk(type: 4, 0, []) }

  private mutating func disk(
    type: UInt32, _ sector: UInt64, _ data: [DriverBuffer]
  ) throws {
    memory.store(type, at: buffers)
    memory.store(UInt32(0), at: buffers + 4)
    memory.store(sector, at: buffers + 8)
    let status = buffers + 16
    memory.store(UInt8(0xff), at: status)
    _ = try request([.readable(buffers, 16)] + data + [.writable(status, 1)])
    let answer = memory.load(UInt8.self, at: status)
    guard answer == 0 else { throw GuestError.requestFailed(answer) }
  }

  // MARK: A hostile guest

  /// Says that more chains are available than the ring has entries, which no driver may.
  mutating func breakRing() throws {
    guard case .split(_, let available, _) = plan.layout else { return }
    let index = memory.load(UInt16.self, at: available + 2)
    memory.store(index &+ plan.size &+ 1, at: available + 2)
    transport.kick(queue: 0)
    while !transport.isBroken { try transport.waitForCall(queue: 0) }
  }
}
