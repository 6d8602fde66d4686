// SPDX-License-Identifier: Apache-2.0

public import VirtioRing

/// The features of a block device (virtio 1.3, 5.2.3).
extension Features {
  /// VIRTIO_BLK_F_BARRIER (legacy): requests that nothing passes, in either direction.
  public static let blockBarrier = Features(bit: 0)
  /// VIRTIO_BLK_F_SIZE_MAX: `size_max` says how large a segment may be.
  public static let blockSizeMax = Features(bit: 1)
  /// VIRTIO_BLK_F_SEG_MAX: `seg_max` says how many segments a request may have.
  public static let blockSegmentMax = Features(bit: 2)
  /// VIRTIO_BLK_F_RO: the disk cannot be written.
  public static let blockReadOnly = Features(bit: 5)
  /// VIRTIO_BLK_F_BLK_SIZE: `blk_size` says how large a logical block is.
  public static let blockBlockSize = Features(bit: 6)
  /// VIRTIO_BLK_F_FLUSH: the driver can ask for durability.
  public static let blockFlush = Features(bit: 9)
  /// VIRTIO_BLK_F_TOPOLOGY: the configuration tells of physical blocks.
  public static let blockTopology = Features(bit: 10)
  /// VIRTIO_BLK_F_CONFIG_WCE: the driver can switch between write-back and write-through.
  public static let blockConfigWriteback = Features(bit: 11)
  /// VIRTIO_BLK_F_MQ: several queues.
  public static let blockMultiqueue = Features(bit: 12)
}
