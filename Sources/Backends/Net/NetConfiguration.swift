// SPDX-License-Identifier: Apache-2.0

/// The configuration space of a network device (virtio 1.3, 5.1.4).
struct NetConfiguration: Equatable {
  /// The driver's address; nil: none is given, and the field is zero.
  var address: MACAddress?
  /// Whether the link is up.
  var isLinkUp: Bool
  /// How long a packet may be, in bytes; 0 where that is not said.
  var mtu: UInt16

  private static let linkUp: UInt8 = 1  // VIRTIO_NET_S_LINK_UP

  /// Little-endian, up to and with `mtu`.
  var bytes: [UInt8] {
    var bytes = address?.bytes ?? [UInt8](repeating: 0, count: 6)
    bytes += [isLinkUp ? Self.linkUp : 0, 0]
    bytes += [1, 0]  // max_virtqueue_pairs
    bytes += [UInt8(truncatingIfNeeded: mtu), UInt8(truncatingIfNeeded: mtu >> 8)]
    return bytes
  }
}
