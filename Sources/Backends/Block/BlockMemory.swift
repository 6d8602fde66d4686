// SPDX-License-Identifier: Apache-2.0
//
// BlockMemory: memory of a block engine's own: slots for requests in flight, and an aligned buffer for
// direct transfers whose guest buffers are not. A fence file, as GuestIO.swift is.

import Glibc
import Linux

// MARK: Slots

/// A fixed number of values that stay where they are: the kernel is told addresses inside them.
@safe
struct SlotPool<Element: ~Copyable & Sendable>: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable: whoever holds it is the only one who reaches the memory.
  private let base: UnsafeMutablePointer<Element>
  let count: Int

  init(count: Int, _ make: () -> Element) {
    self.count = count
    // SAFETY: a fresh block, kept and not yet followed.
    unsafe base = .allocate(capacity: max(1, count))
    for index in 0..<count {
      // SAFETY: index < count, the capacity.
      unsafe (base + index).initialize(to: make())
    }
  }

  deinit {
    unsafe base.deinitialize(count: count)
    unsafe base.deallocate()
  }

  /// - Precondition: `index` is in `0..<count`.
  @inline(__always)
  subscript(index: Int) -> Element {
    unsafeAddress {
      precondition(index >= 0 && index < count)
      // SAFETY: compared just above; all slots are initialised.
      return unsafe UnsafePointer(base + index)
    }
    unsafeMutableAddress {
      precondition(index >= 0 && index < count)
      // SAFETY: as above, and the pool is borrowed exclusively.
      return unsafe base + index
    }
  }
}

// MARK: Direct transfers

extension SegmentWindow {
  /// Whether each selected piece starts and ends at a multiple of `alignment`, a power of two.
  borrowing func isAligned(to alignment: Int) -> Bool {
    let mask = UInt(alignment) &- 1
    // SAFETY: the list is not kept, and addresses are looked at, not followed.
    let pieces = unsafe vectors
    for index in 0..<pieces.count {
      let address = unsafe UInt(bitPattern: pieces[index].iov_base)
      guard unsafe (address | UInt(pieces[index].iov_len)) & mask == 0 else { return false }
    }
    return true
  }
}

/// An aligned buffer between guest memory and direct I/O.
@safe
struct BounceBuffer: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable, as above.
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  private static let alignment = 4096

  /// - Parameter byteCount: the most bytes of one transfer: a multiple of every alignment.
  init(byteCount: Int = 256 * 1024) {
    self.byteCount = byteCount
    // SAFETY: a fresh block; of its bytes only those are looked at that were copied or read into it. Nothing is
    // written to it now: most queues never need it.
    unsafe base = .allocate(byteCount: byteCount, alignment: Self.alignment)
  }

  deinit { unsafe base.deallocate() }

  /// Reads from a position of a file into the selected bytes, at most as many as the buffer holds.
  borrowing func read(
    _ window: borrowing SegmentWindow, from descriptor: borrowing FileDescriptor, at offset: Int
  ) throws(Errno) -> Int {
    let count = min(window.byteCount, byteCount)
    // SAFETY: count is at most the buffer's size.
    let done = try systemCall(retryOnInterrupt: true) {
      unsafe pread(descriptor.raw, base, count, offset)
    }
    return unsafe copy(done, window) { piece, buffer, count in
      // SAFETY: both have `count` bytes, see `copy`.
      unsafe memcpy(piece, buffer, count)
    }
  }

  /// Writes the selected bytes to a position of a file, at most as many as the buffer holds.
  borrowing func write(
    _ window: borrowing SegmentWindow, to descriptor: borrowing FileDescriptor, at offset: Int
  ) throws(Errno) -> Int {
    let count = unsafe copy(min(window.byteCount, byteCount), window) { piece, buffer, count in
      // SAFETY: both have `count` bytes, see `copy`.
      unsafe memcpy(buffer, piece, count)
    }
    // SAFETY: count is at most the buffer's size.
    return try systemCall(retryOnInterrupt: true) {
      unsafe pwrite(descriptor.raw, base, count, offset)
    }
  }

  /// Pairs the first bytes of the window's pieces with the buffer's.
  ///
  /// - Parameter limit: at most the buffer's size.
  /// - Returns: how many bytes were paired: fewer than `limit` where the window lists fewer.
  private borrowing func copy(
    _ limit: Int, _ window: borrowing SegmentWindow,
    _ move: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int) -> Void
  ) -> Int {
    var done = 0
    // SAFETY: the list is not kept.
    let pieces = unsafe window.vectors
    for index in 0..<pieces.count where done < limit {
      // SAFETY: index is within the list; the pieces were validated when their chain was popped, and
      // done + count <= limit.
      let count = unsafe min(pieces[index].iov_len, limit &- done)
      guard let piece = unsafe pieces[index].iov_base, count > 0 else { continue }
      unsafe move(piece, base + done, count)
      done &+= count
    }
    return done
  }
}
