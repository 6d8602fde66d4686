// SPDX-License-Identifier: Apache-2.0

/// A virtio device type (virtio 1.3, chapter 5).
public struct DeviceID: RawRepresentable, Sendable, Hashable {
  /// The number on the wire.
  public let rawValue: UInt32

  /// Makes an id of any number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// VIRTIO_ID_NET.
  public static let net = DeviceID(rawValue: 1)
  /// VIRTIO_ID_BLOCK.
  public static let block = DeviceID(rawValue: 2)
  /// VIRTIO_ID_CONSOLE.
  public static let console = DeviceID(rawValue: 3)
  /// VIRTIO_ID_RNG.
  public static let rng = DeviceID(rawValue: 4)
}
