// SPDX-License-Identifier: Apache-2.0

/// The configuration space of a block device (virtio 1.3, 5.2.4).
struct BlockConfiguration: Equatable {
  /// The disk's size in sectors of 512 bytes, whatever the block size.
  var capacity: UInt64
  /// The most bytes in a segment.
  var sizeMax: UInt32
  /// The most data segments in a request.
  var segmentMax: UInt32
  /// The logical block in bytes.
  var blockSize: UInt32
  /// The physical block in bytes: a power of two, at least the logical one.
  var physicalBlockSize: UInt32
  /// Whether writes wait in a cache until a flush.
  var isWriteback: Bool
  /// How many queues there are.
  var queueCount: UInt16

  /// Where the one byte is that a driver may write.
  static let writebackOffset = 32

  /// Little-endian, up to and with `num_queues`. Geometry is all zeros, as that feature is not
  /// offered.
  var bytes: [UInt8] {
    let ratio = max(1, physicalBlockSize / max(1, blockSize))
    var bytes: [UInt8] = []
    bytes.reserveCapacity(36)
    bytes.append(littleEndian: capacity)
    bytes.append(littleEndian: sizeMax)
    bytes.append(littleEndian: segmentMax)
    bytes.append(littleEndian: UInt32(0))  // cylinders, heads, sectors
    bytes.append(littleEndian: blockSize)
    bytes.append(UInt8(ratio.trailingZeroBitCount))  // physical_block_exp
    bytes.append(0)  // alignment_offset
    bytes.append(littleEndian: UInt16(truncatingIfNeeded: ratio))  // min_io_size, in blocks
    bytes.append(littleEndian: UInt32(0))  // opt_io_size: no preference
    bytes.append(isWriteback ? 1 : 0)
    bytes.append(0)
    bytes.append(littleEndian: queueCount)
    return bytes
  }
}

extension [UInt8] {
  fileprivate mutating func append<Word: FixedWidthInteger>(littleEndian word: Word) {
    for shift in stride(from: 0, to: Word.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: word >> Word(shift)))
    }
  }
}
