// SPDX-License-Identifier: Apache-2.0

public import VirtioRing

/// Where a driver puts its ring, and its indirect tables if it wants some.
public struct RingPlan: Sendable, Equatable {
  /// Where the ring lies.
  public var layout: RingLayout
  /// Entries.
  public var size: UInt16
  /// The guest address of the indirect tables: one for each entry of the ring, one behind the other.
  public var indirectTables: UInt64
  /// How many descriptors each indirect table holds; 0 where there are none.
  public var indirectCapacity: Int

  /// Describes a ring; the driver that takes it checks that memory holds it.
  public init(
    layout: RingLayout, size: UInt16, indirectTables: UInt64 = 0, indirectCapacity: Int = 0
  ) {
    self.layout = layout
    self.size = size
    self.indirectTables = indirectTables
    self.indirectCapacity = indirectCapacity
  }

  /// A split ring whose three areas are taken from `space` (virtio 1.3, 2.7).
  public static func split(
    size: UInt16, in space: inout GuestSpace, indirectCapacity: Int = 0
  ) -> RingPlan {
    let count = UInt64(size)
    let descriptors = space.take(16 * count, alignment: 16)
    let available = space.take(6 + 2 * count, alignment: 2)
    let used = space.take(6 + 8 * count, alignment: 4)
    let layout = RingLayout.split(descriptors: descriptors, available: available, used: used)
    return RingPlan(layout: layout, size: size).withTables(indirectCapacity, in: &space)
  }

  /// A split ring in the legacy layout, all in one piece (virtio 1.3, 2.7.2).
  public static func legacy(
    size: UInt16, in space: inout GuestSpace, indirectCapacity: Int = 0, alignment: UInt64 = 4096
  ) -> RingPlan {
    let count = UInt64(size)
    let upper = (16 * count + 6 + 2 * count + alignment - 1) & ~(alignment - 1)
    let start = space.take(upper + 6 + 8 * count, alignment: alignment)
    guard let layout = RingLayout.legacy(at: start, size: size, alignment: alignment) else {
      preconditionFailure("a ring inside guest space cannot pass the end of the address space")
    }
    return RingPlan(layout: layout, size: size).withTables(indirectCapacity, in: &space)
  }

  /// A packed ring whose three areas are taken from `space` (virtio 1.3, 2.8).
  public static func packed(
    size: UInt16, in space: inout GuestSpace, indirectCapacity: Int = 0
  ) -> RingPlan {
    let descriptors = space.take(16 * UInt64(size), alignment: 16)
    let driverEvent = space.take(4, alignment: 4)
    let deviceEvent = space.take(4, alignment: 4)
    let layout = RingLayout.packed(
      descriptors: descriptors, driverEvent: driverEvent, deviceEvent: deviceEvent)
    return RingPlan(layout: layout, size: size).withTables(indirectCapacity, in: &space)
  }

  private consuming func withTables(_ capacity: Int, in space: inout GuestSpace) -> RingPlan {
    guard capacity > 0 else { return self }
    indirectCapacity = capacity
    indirectTables = space.take(UInt64(size) * UInt64(capacity) * 16, alignment: 16)
    return self
  }

  /// The guest address of an entry's indirect table.
  func table(of index: UInt16) -> UInt64 {
    indirectTables + UInt64(index) * UInt64(indirectCapacity) * 16
  }
}
