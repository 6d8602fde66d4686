// SPDX-License-Identifier: Apache-2.0
//
// Chain: one request as the device sees it, materialised and validated.
//
// It is scratch that its owner fills again and again with `Virtqueue.pop`: device-readable segments
// first, device-writable ones behind them, every segment checked to lie in guest memory. What the
// segments point to still belongs to the driver and can change at any time; the segments cannot.

/// A descriptor chain in private memory.
public struct Chain: ~Copyable, Sendable {
  let storage: ChainStorage

  /// Makes scratch for chains of up to `segmentCapacity` segments.
  ///
  /// A buffer that crosses from one memory region into another takes two. A chain that needs more
  /// is refused with `RingError.tooManySegments`.
  public init(segmentCapacity: Int = 1024) {
    storage = ChainStorage(capacity: segmentCapacity)
  }

  /// How many segments the device reads.
  public var readableCount: Int {
    @inline(__always) get { storage.header.readableCount }
  }

  /// How many segments the device writes.
  public var writableCount: Int {
    @inline(__always) get { storage.header.segmentCount &- storage.header.readableCount }
  }

  /// How many bytes the device can read.
  public var readableBytes: Int {
    @inline(__always) get { storage.header.readableBytes }
  }

  /// How many bytes the device can write.
  public var writableBytes: Int {
    @inline(__always) get { storage.header.writableBytes }
  }

  /// The head's index in a split ring, the buffer id in a packed one.
  public var id: UInt16 {
    @inline(__always) get { storage.header.id }
  }

  /// How many segments there are.
  var segmentCount: Int {
    @inline(__always) get { storage.header.segmentCount }
  }
}
