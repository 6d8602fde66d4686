// SPDX-License-Identifier: Apache-2.0
//
// RingPlacement: finds the areas of a ring in guest memory, or says why they cannot be there.

/// A ring's areas in host memory, checked. Exactly one of the two is there.
struct RingPlacement {
  let split: SplitRingMemory?
  let packed: PackedRingMemory?

  /// One area of a ring in guest memory.
  private struct Area {
    let address: UInt64
    let byteCount: UInt64
    let alignment: UInt64

    func overlaps(_ other: Area) -> Bool {
      // Neither sum wraps: both areas were found in memory, whose regions do not.
      address < other.address &+ other.byteCount && other.address < address &+ byteCount
    }
  }

  init(_ configuration: QueueConfiguration, memory: borrowing GuestMemory) throws(RingError) {
    let size = configuration.size
    let count = UInt64(size)
    guard size > 0, Int(size) <= QueueConfiguration.maximumSize else { throw .badSize }
    switch configuration.layout {
    case .split(let descriptors, let available, let used):
      guard size & (size &- 1) == 0 else { throw .badSize }
      let places = try Self.place(
        Area(address: descriptors, byteCount: 16 * count, alignment: 16),
        Area(address: available, byteCount: 6 + 2 * count, alignment: 2),
        Area(address: used, byteCount: 6 + 8 * count, alignment: 4), in: memory)
      split = SplitRingMemory(
        descriptors: places.0, available: places.1, used: places.2, size: size)
      packed = nil
      if let nextUsed = configuration.position.nextUsed {
        guard configuration.position.nextAvailable &- nextUsed <= size else { throw .badPosition }
      }
    case .packed(let descriptors, let driverEvent, let deviceEvent):
      let places = try Self.place(
        Area(address: descriptors, byteCount: 16 * count, alignment: 16),
        Area(address: driverEvent, byteCount: 4, alignment: 4),
        Area(address: deviceEvent, byteCount: 4, alignment: 4), in: memory)
      split = nil
      packed = PackedRingMemory(
        descriptors: places.0, driverEvent: places.1, deviceEvent: places.2, size: size)
      try Self.check(configuration.position, size: size)
    }
    guard split != nil || packed != nil else { throw .ringOutsideMemory }
  }

  /// The used side of a packed ring runs behind the available one, by a ring's length at most.
  private static func check(_ position: RingPosition, size: UInt16) throws(RingError) {
    guard position.nextAvailable < size else { throw .badPosition }
    guard let nextUsed = position.nextUsed else { return }
    guard nextUsed < size else { throw .badPosition }
    let isBehind =
      position.availableWrap == position.usedWrap
      ? nextUsed <= position.nextAvailable : nextUsed >= position.nextAvailable
    guard isBehind else { throw .badPosition }
  }

  private static func place(
    _ first: Area, _ second: Area, _ third: Area, in memory: borrowing GuestMemory
  ) throws(RingError) -> (UInt, UInt, UInt) {
    let hosts = (
      try place(first, in: memory), try place(second, in: memory), try place(third, in: memory)
    )
    guard !first.overlaps(second), !second.overlaps(third), !first.overlaps(third) else {
      throw .ringAreasOverlap
    }
    return hosts
  }

  private static func place(
    _ area: Area, in memory: borrowing GuestMemory
  ) throws(RingError) -> UInt {
    guard area.address % area.alignment == 0 else { throw .misaligned }
    guard let host = memory.hostAddress(of: area.address, byteCount: area.byteCount) else {
      throw .ringOutsideMemory
    }
    // The host side must be aligned as well: the words are used as atomics.
    guard UInt64(host) % area.alignment == 0 else { throw .misaligned }
    return host
  }
}
