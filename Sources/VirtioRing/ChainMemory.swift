// SPDX-License-Identifier: Apache-2.0
//
// ChainMemory: the bytes of a request. A fence file, as RingMemory.swift is.
//
// The segments of a chain were checked to lie in guest memory; their content is the driver's and can
// change at any time. So bytes are copied out once, and used from the copy; nothing here returns a
// view of them, except the `struct iovec` arrays that go to system calls.

// MARK: Bytes of a chain's buffers

extension IOVector {
  /// Copies bytes out of a segment. - Precondition: the range lies in the segment.
  @inline(__always)
  func copy(from offset: Int, count: Int, into target: UnsafeMutableRawPointer) {
    precondition(offset >= 0 && count >= 0 && offset <= byteCount && count <= byteCount - offset)
    // SAFETY: the segment was validated against guest memory when its chain was popped, and the range
    // just above.
    guard count > 0, let source = unsafe UnsafeRawPointer(bitPattern: address) else { return }
    unsafe target.copyMemory(from: source + offset, byteCount: count)
  }

  /// Copies bytes into a segment. - Precondition: the range lies in the segment.
  @inline(__always)
  func copy(to offset: Int, count: Int, from source: UnsafeRawPointer) {
    precondition(offset >= 0 && count >= 0 && offset <= byteCount && count <= byteCount - offset)
    guard count > 0, let target = unsafe UnsafeMutableRawPointer(bitPattern: address) else {
      return
    }
    // SAFETY: as above.
    unsafe (target + offset).copyMemory(from: source, byteCount: count)
  }
}

extension Chain {
  /// Reads an integer from the device-readable bytes, once, from private memory afterwards.
  ///
  /// - Parameters:
  ///   - type: which integer.
  ///   - offset: in bytes from the start of the device-readable part.
  /// - Returns: nil where fewer bytes are there. The value is little-endian as it stands.
  @inline(__always)
  public borrowing func load<Word: FixedWidthInteger & BitwiseCopyable>(
    _ type: Word.Type, at offset: Int
  ) -> Word? {
    var word: Word = 0
    // SAFETY: the copy writes at most the word's own bytes.
    let copied = unsafe withUnsafeMutableBytes(of: &word) { bytes in
      unsafe copyReadable(from: offset, into: bytes)
    }
    return copied == MemoryLayout<Word>.size ? word : nil
  }

  /// Writes an integer into the device-writable bytes.
  ///
  /// - Parameters:
  ///   - word: written as it stands, so convert it to little-endian first.
  ///   - offset: in bytes from the start of the device-writable part.
  /// - Returns: false where there is no room for all of it; then some of its bytes may be written.
  @inline(__always)
  @discardableResult
  public borrowing func store<Word: FixedWidthInteger & BitwiseCopyable>(
    _ word: Word, at offset: Int
  ) -> Bool {
    // SAFETY: the copy reads at most the word's own bytes.
    unsafe withUnsafeBytes(of: word) { bytes in
      unsafe copyWritable(to: offset, from: bytes)
    } == MemoryLayout<Word>.size
  }

  /// Copies device-readable bytes into private memory. - Returns: how many were there.
  @unsafe
  public borrowing func copyReadable(
    from offset: Int, into target: UnsafeMutableRawBufferPointer
  ) -> Int {
    guard let base = target.baseAddress, offset >= 0 else { return 0 }
    var skip = offset
    var copied = 0
    for index in 0..<readableCount where copied < target.count {
      let segment = storage[index]
      if skip >= segment.byteCount {
        skip &-= segment.byteCount
        continue
      }
      let count = min(segment.byteCount &- skip, target.count &- copied)
      // SAFETY: copied + count <= target.count.
      unsafe segment.copy(from: skip, count: count, into: base + copied)
      copied &+= count
      skip = 0
    }
    return copied
  }

  /// Copies private bytes into the device-writable part. - Returns: how many found room.
  @unsafe
  public borrowing func copyWritable(
    to offset: Int, from source: UnsafeRawBufferPointer
  ) -> Int {
    guard let base = source.baseAddress, offset >= 0 else { return 0 }
    var skip = offset
    var copied = 0
    for index in readableCount..<segmentCount where copied < source.count {
      let segment = storage[index]
      if skip >= segment.byteCount {
        skip &-= segment.byteCount
        continue
      }
      let count = min(segment.byteCount &- skip, source.count &- copied)
      // SAFETY: copied + count <= source.count.
      unsafe segment.copy(to: skip, count: count, from: base + copied)
      copied &+= count
      skip = 0
    }
    return copied
  }

  /// Copies device-readable bytes into a span of private memory. - Returns: how many were there.
  public borrowing func copyReadable(from offset: Int, into target: inout MutableRawSpan) -> Int {
    unsafe target.withUnsafeMutableBytes { bytes in
      // SAFETY: the span's own bytes.
      unsafe copyReadable(from: offset, into: bytes)
    }
  }

  /// Copies a span of private bytes into the device-writable part. - Returns: how many found room.
  public borrowing func copyWritable(to offset: Int, from source: RawSpan) -> Int {
    unsafe source.withUnsafeBytes { bytes in
      // SAFETY: the span's own bytes.
      unsafe copyWritable(to: offset, from: bytes)
    }
  }

  /// The device-readable segments, laid out as `struct iovec`.
  ///
  /// Valid until the chain is popped into again. What they point to is shared with the driver.
  @unsafe
  public var readableSegments: UnsafeBufferPointer<IOVector> {
    // SAFETY: both counts are within the capacity; the caller keeps the chain.
    borrowing get { unsafe storage.pointer(0..<readableCount) }
  }

  /// The device-writable segments, laid out as `struct iovec`. Valid as `readableSegments` is.
  @unsafe
  public var writableSegments: UnsafeBufferPointer<IOVector> {
    borrowing get { unsafe storage.pointer(readableCount..<segmentCount) }
  }
}

#if !hasFeature(Embedded)
  // MARK: Many chains

  /// A fixed number of chains, for devices that have several requests in flight.
  @safe
  public struct ChainPool: ~Copyable, @unchecked Sendable {
    // Sendable because it is not copyable, as above.
    private let base: UnsafeMutablePointer<Chain>

    /// How many chains there are.
    public let count: Int

    /// Makes `count` chains of `segmentCapacity` segments each.
    public init(count: Int, segmentCapacity: Int) {
      self.count = max(0, count)
      // SAFETY: as many chains are initialised as `count` says; deinit ends and frees them, once.
      unsafe base = .allocate(capacity: max(1, self.count))
      for index in 0..<self.count {
        unsafe (base + index).initialize(to: Chain(segmentCapacity: segmentCapacity))
      }
    }

    deinit {
      unsafe base.deinitialize(count: count)
      unsafe base.deallocate()
    }

    /// The chain of a slot; `Virtqueue.pop(into:at:)` fills it.
    ///
    /// - Precondition: `index` is in `0..<count`.
    public subscript(index: Int) -> Chain {
      unsafeAddress {
        // SAFETY: the pool outlives the access; the chain is initialised.
        unsafe UnsafePointer(chain(index))
      }
    }

    /// Copies a chain into a slot.
    ///
    /// - Returns: false where the chain has more segments than the slot has room for. Nothing is copied then.
    /// - Precondition: the slot's last chain is not in flight any more.
    @inline(__always)
    public mutating func copy(_ chain: borrowing Chain, to index: Int) -> Bool {
      // SAFETY: the pool is borrowed exclusively.
      unsafe self.chain(index).pointee.storage.copy(chain.storage)
    }

    /// Gives a slot room for a chain. What it holds is gone.
    ///
    /// - Parameters:
    ///   - index: the slot's number.
    ///   - chain: what is to be copied there.
    ///   - limit: the most segments that a slot gets room for.
    /// - Returns: false where the chain has more.
    /// - Precondition: the slot's last chain is not in flight any more.
    public mutating func grow(_ index: Int, for chain: borrowing Chain, limit: Int) -> Bool {
      let count = chain.segmentCount
      guard count <= limit else { return false }
      // To the next power of two, so that this comes seldom.
      let capacity = min(limit, 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount))
      // SAFETY: the pool is borrowed exclusively; the old chain is ended as the new one takes its place.
      unsafe self.chain(index).pointee = Chain(segmentCapacity: capacity)
      return true
    }

    /// Exchanges a slot's chain for another, with the room that each has.
    public mutating func exchange(_ index: Int, with chain: inout Chain) {
      // SAFETY: the pool is borrowed exclusively.
      unsafe swap(&self.chain(index).pointee, &chain)
    }

    /// Where a slot's chain is.
    fileprivate func chain(_ index: Int) -> UnsafeMutablePointer<Chain> {
      precondition(index >= 0 && index < count)
      // SAFETY: compared just above; all chains are initialised.
      return unsafe base + index
    }
  }

  extension Virtqueue {
    /// Takes the next available chain into a slot of a pool. As `pop(into:)` otherwise.
    ///
    /// - Precondition: the slot's last chain is not in flight any more.
    public mutating func pop(
      into pool: inout ChainPool, at index: Int
    ) throws(RingError) -> Bool {
      // SAFETY: the pool is borrowed exclusively, and its slots are changed here only.
      unsafe try pop(into: &pool.chain(index).pointee)
    }
  }
#endif
