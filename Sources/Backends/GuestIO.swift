// SPDX-License-Identifier: Apache-2.0
//
// GuestIO: moves bytes between host files and the buffers of a request. The fence of this module.
//
// A SegmentWindow is a device's private list of the pieces of a request that are still to be
// transferred, laid out as the C library's struct iovec. It is selected from a chain (which part, how much to skip, how
// much at most), handed to readv, writev, preadv, pwritev or to io_uring, and advanced by what
// they transferred, so short transfers need no other bookkeeping. The bytes never pass through Swift.

public import Glibc
public import Linux
public import VirtioRing

/// Which part of a chain.
public enum ChainPart: Sendable {
  /// What the device reads.
  case readable
  /// What the device writes.
  case writable
}

/// The pieces of a request that are still to be transferred.
@safe
public struct SegmentWindow: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable: whoever holds it is the only one who reaches the list.
  private var base: UnsafeMutablePointer<IOVector>
  private var capacity: Int
  private var first = 0
  private var end = 0

  /// The most segments that one system call takes (IOV_MAX).
  private static let callLimit = 1024

  /// How many bytes are still to be transferred.
  public private(set) var byteCount = 0

  /// Makes a window that has room for `segmentCapacity` segments, and grows where a chain has more.
  public init(segmentCapacity: Int = 16) {
    capacity = max(1, segmentCapacity)
    // SAFETY: numbers, of which only those are looked at that `select` has stored; deinit frees it, once.
    unsafe base = .allocate(capacity: capacity)
  }

  deinit { unsafe base.deallocate() }

  /// Selects bytes of a chain.
  ///
  /// - Parameters:
  ///   - part: the device-readable or the device-writable bytes.
  ///   - chain: whose bytes.
  ///   - skipping: how many bytes of that part to leave out at its start.
  ///   - limit: how many bytes to take at most.
  public mutating func select(
    _ part: ChainPart, of chain: borrowing Chain, skipping: Int = 0, limit: Int = .max
  ) {
    // SAFETY: the buffers are used within this call, and the chain is borrowed for as long.
    let segments =
      unsafe part == .readable ? chain.readableSegments : chain.writableSegments
    if segments.count > capacity { grow(to: segments.count) }
    first = 0
    end = 0
    byteCount = 0
    var skip = max(0, skipping)
    for index in 0..<segments.count where byteCount < limit {
      // SAFETY: index is within the buffer.
      let segment = unsafe segments[index]
      guard skip < segment.byteCount else {
        skip &-= segment.byteCount
        continue
      }
      let count = min(segment.byteCount &- skip, limit &- byteCount)
      // SAFETY: end <= index < segments.count <= capacity, see `grow`.
      unsafe base[end] = IOVector(
        address: segment.address &+ UInt(skip), byteCount: count)
      end &+= 1
      byteCount &+= count
      skip = 0
    }
  }

  /// Makes room for a longer chain than any before; what was selected is gone.
  @inline(never)
  private mutating func grow(to count: Int) {
    // To the next power of two, so that this comes seldom.
    capacity = 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    // SAFETY: nobody has a list of the old room; the new one is as the one in init.
    unsafe base.deallocate()
    unsafe base = .allocate(capacity: capacity)
  }

  /// Leaves out the first bytes: they were transferred.
  public mutating func advance(by count: Int) {
    var count = min(max(0, count), byteCount)
    byteCount &-= count
    while count > 0 {
      // SAFETY: byteCount was not 0, so first < end <= capacity.
      let segment = unsafe base[first]
      if count >= segment.byteCount {
        count &-= segment.byteCount
        first &+= 1
      } else {
        unsafe base[first] = IOVector(
          address: segment.address &+ UInt(count), byteCount: segment.byteCount &- count)
        count = 0
      }
    }
  }

  /// The list as system calls want it, at most `IOV_MAX` pieces. Valid until the window is changed.
  @unsafe
  public var vectors: UnsafeBufferPointer<iovec> {
    borrowing get {
      let count = min(end &- first, Self.callLimit)
      // SAFETY: IOVector has the layout of struct iovec: an address and a size, 8 bytes each.
      return unsafe UnsafeBufferPointer(
        start: UnsafeRawPointer(base + first).assumingMemoryBound(to: iovec.self),
        count: count)
    }
  }
}

// MARK: Transfers

extension SegmentWindow {
  // SAFETY (all): the segments were validated against guest memory when the chain was popped,
  // and the queue keeps that memory mapped. The kernel reads or writes at most their bytes.

  /// Reads from a stream into the selected bytes. - Returns: bytes read, 0 at the end of the file.
  public borrowing func read(from descriptor: borrowing FileDescriptor) throws(Errno) -> Int {
    unsafe try descriptor.readv(vectors)
  }

  /// Writes the selected bytes to a stream. - Returns: bytes written, perhaps not all.
  public borrowing func write(to descriptor: borrowing FileDescriptor) throws(Errno) -> Int {
    unsafe try descriptor.writev(vectors)
  }

  /// Reads from a position of a file. - Returns: bytes read, 0 at the end of the file.
  public borrowing func read(
    from descriptor: borrowing FileDescriptor, at offset: Int
  ) throws(Errno) -> Int {
    unsafe try descriptor.preadv(vectors, at: offset)
  }

  /// Reads from a position of a file what can be had without waiting.
  ///
  /// - Returns: bytes read, nil where there are none.
  @inline(__always)
  public borrowing func readCached(
    from descriptor: borrowing FileDescriptor, at offset: Int
  ) -> Int? {
    do throws(Errno) {
      let count = unsafe try descriptor.preadvCached(vectors, at: offset)
      return count > 0 ? count : nil
    } catch {
      return nil
    }
  }

  /// Writes to a position of a file. - Returns: bytes written, perhaps not all.
  public borrowing func write(
    to descriptor: borrowing FileDescriptor, at offset: Int
  ) throws(Errno) -> Int {
    unsafe try descriptor.pwritev(vectors, at: offset)
  }
}

extension SegmentWindow {
  /// Fills the selected bytes with the kernel's random numbers, without waiting.
  ///
  /// - Returns: bytes written, perhaps not all.
  /// - Throws: what stopped the first byte: `.again` where there is no entropy yet.
  public borrowing func fillWithRandom() throws(Errno) -> Int {
    var filled = 0
    // SAFETY: as for the transfers above.
    let vectors = unsafe self.vectors
    for index in 0..<vectors.count {
      do throws(Errno) {
        // SAFETY: index is within the buffer.
        let vector = unsafe vectors[index]
        let count = unsafe try Random.fill(
          UnsafeMutableRawBufferPointer(start: vector.iov_base, count: vector.iov_len))
        filled &+= count
        guard unsafe count == vector.iov_len else { break }
      } catch {
        guard filled > 0 else { throw error }
        break
      }
    }
    return filled
  }
}
