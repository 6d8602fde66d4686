// SPDX-License-Identifier: Apache-2.0

public import VirtioRing

/// The features of a network device (virtio 1.3, 5.1.3).
///
/// `GUEST` features say what the driver takes, `HOST` features and CSUM what the device takes.
extension Features {
  /// VIRTIO_NET_F_CSUM: the device takes packets whose checksum is still to be completed.
  public static let netChecksum = Features(bit: 0)
  /// VIRTIO_NET_F_GUEST_CSUM: the driver takes packets whose checksum is still to be completed.
  public static let netGuestChecksum = Features(bit: 1)
  /// VIRTIO_NET_F_MTU: the configuration says how long a packet may be.
  public static let netMTU = Features(bit: 3)
  /// VIRTIO_NET_F_MAC: the configuration holds the driver's address.
  public static let netMAC = Features(bit: 5)
  /// VIRTIO_NET_F_GUEST_TSO4: the driver takes TCP segments over IPv4 of up to 64 KiB.
  public static let netGuestTSO4 = Features(bit: 7)
  /// VIRTIO_NET_F_GUEST_TSO6: the same over IPv6.
  public static let netGuestTSO6 = Features(bit: 8)
  /// VIRTIO_NET_F_GUEST_ECN: the driver takes such segments with congestion marks.
  public static let netGuestECN = Features(bit: 9)
  /// VIRTIO_NET_F_GUEST_UFO: the driver takes unfragmented UDP datagrams of up to 64 KiB.
  public static let netGuestUFO = Features(bit: 10)
  /// VIRTIO_NET_F_HOST_TSO4: the device takes TCP segments over IPv4 of up to 64 KiB.
  public static let netHostTSO4 = Features(bit: 11)
  /// VIRTIO_NET_F_HOST_TSO6: the same over IPv6.
  public static let netHostTSO6 = Features(bit: 12)
  /// VIRTIO_NET_F_HOST_ECN: the device takes such segments with congestion marks.
  public static let netHostECN = Features(bit: 13)
  /// VIRTIO_NET_F_HOST_UFO: the device takes unfragmented UDP datagrams of up to 64 KiB.
  public static let netHostUFO = Features(bit: 14)
  /// VIRTIO_NET_F_MRG_RXBUF: a received packet may take several buffers.
  public static let netMergeBuffers = Features(bit: 15)
  /// VIRTIO_NET_F_STATUS: the configuration says whether the link is up.
  public static let netStatus = Features(bit: 16)
}
