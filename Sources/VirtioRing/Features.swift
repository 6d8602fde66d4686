// SPDX-License-Identifier: Apache-2.0

/// A set of virtio feature bits, as offered by a device or accepted by a driver.
///
/// The names here are those that concern rings and transports (virtio 1.3, chapter 6); devices add
/// their own.
public struct Features: RawRepresentable, Sendable, Hashable {
  /// Bit `n` is feature `n`.
  public let rawValue: UInt64

  /// Makes a set of bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Makes a set of one feature. - Precondition: `bit` is 0 to 63.
  public init(bit: Int) {
    precondition(bit >= 0 && bit < 64)
    rawValue = 1 << UInt64(bit)
  }

  /// VIRTIO_F_NOTIFY_ON_EMPTY (legacy): a call when the device has used all there was.
  public static let notifyOnEmpty = Features(bit: 24)
  /// VIRTIO_F_ANY_LAYOUT (legacy): no assumption on how a request is cut into descriptors.
  public static let anyLayout = Features(bit: 27)
  /// VIRTIO_F_INDIRECT_DESC: tables of descriptors outside the ring.
  public static let indirectDescriptors = Features(bit: 28)
  /// VIRTIO_F_EVENT_IDX: calls and kicks at a position that the other side names.
  public static let eventIndex = Features(bit: 29)
  /// VIRTIO_F_VERSION_1: not the legacy interface.
  public static let version1 = Features(bit: 32)
  /// VIRTIO_F_ACCESS_PLATFORM: addresses go through an IOMMU.
  public static let accessPlatform = Features(bit: 33)
  /// VIRTIO_F_RING_PACKED: the packed ring format.
  public static let packedRing = Features(bit: 34)
  /// VIRTIO_F_IN_ORDER: buffers are used in the order in which they were made available.
  public static let inOrder = Features(bit: 35)
  /// VIRTIO_F_ORDER_PLATFORM: memory accesses are ordered as the platform orders devices'.
  public static let orderPlatform = Features(bit: 36)
  /// VIRTIO_F_NOTIFICATION_DATA: a kick says how far the driver is.
  public static let notificationData = Features(bit: 38)
  /// VIRTIO_F_RING_RESET: a queue can be reset alone.
  public static let ringReset = Features(bit: 40)

  /// Whether all of these features are in this set.
  @inline(__always)
  public func contains(_ other: Features) -> Bool { rawValue & other.rawValue == other.rawValue }
}
