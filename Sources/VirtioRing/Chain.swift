// SPDX-License-Identifier: Apache-2.0
//
// Chain: one request as the device sees it, materialised and validated.
//
// It is scratch that its owner fills again and again with `Virtqueue.pop`: device-readable segments
// first, device-writable ones behind them, every segment checked to lie in guest memory. What the
// segments point to still belongs to the driver and can change at any time; the segments cannot.

/// A descriptor chain in private memory.
public struct Chain: ~Copyable, Sendable {
  let segments: SegmentBuffer
  var segmentCount = 0

  /// How many segments the device reads.
  public internal(set) var readableCount = 0

  /// How many bytes the device can read.
  public internal(set) var readableBytes = 0

  /// How many bytes the device can write.
  public internal(set) var writableBytes = 0

  /// The head's index in a split ring, the buffer id in a packed one.
  public internal(set) var id: UInt16 = 0

  /// How many descriptors of the ring itself it took.
  var descriptorCount: UInt16 = 0

  /// How many segments the device writes.
  public var writableCount: Int { segmentCount &- readableCount }

  /// Makes scratch for chains of up to `segmentCapacity` segments.
  ///
  /// A buffer that crosses from one memory region into another takes two. A chain that needs more
  /// is refused with `RingError.tooManySegments`.
  public init(segmentCapacity: Int = 1024) {
    segments = SegmentBuffer(capacity: segmentCapacity)
  }
}
