// SPDX-License-Identifier: Apache-2.0
//
// What a transport tells a queue: where its ring is, how long, which features, and where to go on.

/// Where a ring lies in guest-physical memory, which also says its format.
public enum RingLayout: Sendable, Equatable {
  /// A split ring (virtio 1.3, 2.7).
  case split(descriptors: UInt64, available: UInt64, used: UInt64)
  /// A packed ring (virtio 1.3, 2.8), with its two event suppression structures.
  case packed(descriptors: UInt64, driverEvent: UInt64, deviceEvent: UInt64)

  /// The legacy layout: descriptors and available ring at one address, the used ring at the next
  /// boundary of `alignment` bytes (virtio 1.3, 2.7.2).
  ///
  /// - Returns: nil where an address passes the end of the address space.
  /// - Precondition: `alignment` is a power of two.
  public static func legacy(
    at address: UInt64, size: UInt16, alignment: UInt64 = 4096
  ) -> RingLayout? {
    precondition(alignment > 0 && alignment & (alignment - 1) == 0)
    let available = address.addingReportingOverflow(UInt64(size) * 16)
    let end = available.partialValue.addingReportingOverflow(6 + UInt64(size) * 2)
    let used = end.partialValue.addingReportingOverflow(alignment - 1)
    guard !available.overflow, !end.overflow, !used.overflow else { return nil }
    return .split(
      descriptors: address, available: available.partialValue,
      used: used.partialValue & ~(alignment - 1))
  }
}

/// Where a queue goes on in its ring.
public struct RingPosition: Sendable, Equatable {
  /// Split: the next available index, free-running. Packed: the next slot to look at.
  public var nextAvailable: UInt16
  /// Split: the next used index, free-running. Packed: the next slot to write.
  /// nil: split, as the ring's own used index says; packed, where the available side stands.
  public var nextUsed: UInt16?
  /// Packed only: the wrap counter that goes with `nextAvailable`.
  public var availableWrap: Bool
  /// Packed only: the wrap counter that goes with `nextUsed`.
  public var usedWrap: Bool

  /// The position of a ring that was never used.
  public static let start = RingPosition(nextAvailable: 0, nextUsed: 0)

  /// Makes a position.
  public init(
    nextAvailable: UInt16, nextUsed: UInt16? = nil, availableWrap: Bool = true,
    usedWrap: Bool = true
  ) {
    self.nextAvailable = nextAvailable
    self.nextUsed = nextUsed
    self.availableWrap = availableWrap
    self.usedWrap = usedWrap
  }
}

/// All that a queue needs to start.
public struct QueueConfiguration: Sendable {
  /// The most entries that any ring may have.
  public static let maximumSize = 32768

  /// Where the ring lies.
  public var layout: RingLayout
  /// Entries: 1 to 32768, a power of two for a split ring.
  public var size: UInt16
  /// What the driver accepted. Bits that do not concern rings are ignored.
  public var features: Features
  /// Where to go on.
  public var position: RingPosition

  /// Describes a queue; `Virtqueue` checks it.
  public init(
    layout: RingLayout, size: UInt16, features: Features, position: RingPosition = .start
  ) {
    self.layout = layout
    self.size = size
    self.features = features
    self.position = position
  }
}

/// What a kick says under NOTIFICATION_DATA (virtio 1.3, 2.9): a hint, never trusted.
public struct NotificationData: Sendable, Equatable {
  /// The queue's number, or its identifier where the transport defines one.
  public let queue: UInt16
  /// Split: the low 15 bits of the next available index. Packed: the next available slot.
  public let nextOffset: UInt16
  /// Split: the highest bit of the index. Packed: the wrap counter.
  public let nextWrap: Bool

  /// Decodes the 32 bits of a notification.
  public init(rawValue: UInt32) {
    queue = UInt16(truncatingIfNeeded: rawValue)
    nextOffset = UInt16(truncatingIfNeeded: rawValue >> 16) & 0x7fff
    nextWrap = rawValue >> 31 != 0
  }

  /// The split ring's available index that this names.
  public var availableIndex: UInt16 { nextOffset | (nextWrap ? 0x8000 : 0) }
}
