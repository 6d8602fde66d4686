// SPDX-License-Identifier: Apache-2.0
//
// FrameMemory: one frame as readv and writev see it. A fence file, as GuestIO.swift is.
//
//     transmission    private header | the chain's pieces behind its header
//     reception       private header | pieces of one or more chains | spill
//
// The header is never transferred from or to guest memory directly: it is copied, checked, and the
// checked copy goes on, so that the driver cannot change it between the check and the use. The
// bytes of the frame itself never pass through Swift, except for those that spilled: a tap tells a
// frame's length only by giving it, and what the chains at hand had no room for lands in private
// memory.

import Glibc
import Linux
import VirtioRing

@safe
struct FrameWindow: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable: whoever holds it is the only one who reaches its memory.
  private let vectors: UnsafeMutablePointer<iovec>
  private let header: UnsafeMutableRawPointer
  private let spill: UnsafeMutableRawPointer

  /// The most pieces that one system call takes (IOV_MAX).
  private static let pieceLimit = 1024

  /// How many bytes the spill holds.
  let spillCapacity: Int

  /// How many pieces there are, header and spill included.
  private var count = 0

  /// How many bytes of guest memory were selected.
  private(set) var guestBytes = 0

  /// - Parameter spillCapacity: in bytes; 0 for transmission.
  init(spillCapacity: Int) {
    self.spillCapacity = max(0, spillCapacity)
    // SAFETY: three blocks of this value's own, initialised in full and freed once, in deinit.
    unsafe vectors = .allocate(capacity: Self.pieceLimit)
    unsafe vectors.initialize(repeating: iovec(), count: Self.pieceLimit)
    unsafe header = .allocate(byteCount: 16, alignment: 8)
    unsafe header.initializeMemory(as: UInt8.self, repeating: 0, count: 16)
    unsafe spill = .allocate(byteCount: max(1, self.spillCapacity), alignment: 16)
    unsafe spill.initializeMemory(as: UInt8.self, repeating: 0, count: max(1, self.spillCapacity))
  }

  deinit {
    // SAFETY: from init; nobody else has them.
    unsafe vectors.deallocate()
    unsafe header.deallocate()
    unsafe spill.deallocate()
  }

  // MARK: The header

  /// The private header.
  var netHeader: NetHeader {
    @inline(__always) get {
      // SAFETY: 16 initialised bytes, aligned to 8.
      unsafe NetHeader(
        low: header.load(as: UInt64.self), high: header.load(fromByteOffset: 8, as: UInt32.self))
    }
    @inline(__always) set {
      // SAFETY: as above.
      unsafe header.storeBytes(of: newValue.low, as: UInt64.self)
      unsafe header.storeBytes(of: newValue.high, toByteOffset: 8, as: UInt32.self)
    }
  }

  /// Copies a chain's header into the private one, once. - Returns: false where it is too short.
  @inline(__always)
  mutating func loadHeader(from chain: borrowing Chain, size: Int) -> Bool {
    precondition(size <= NetHeader.longSize)
    // SAFETY: the copy writes at most `size` of the 16 bytes.
    unsafe header.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
    return unsafe chain.copyReadable(
      from: 0, into: UnsafeMutableRawBufferPointer(start: header, count: size)) == size
  }

  /// Copies the private header to the start of a chain. - Returns: false where it has no room.
  @inline(__always)
  func storeHeader(in chain: borrowing Chain, size: Int) -> Bool {
    precondition(size <= NetHeader.longSize)
    // SAFETY: the copy reads at most `size` of the 16 bytes.
    return unsafe chain.copyWritable(
      to: 0, from: UnsafeRawBufferPointer(start: header, count: size)) == size
  }

  // MARK: Pieces

  /// Starts again with the private header alone.
  @inline(__always)
  mutating func begin(headerSize: Int) {
    precondition(headerSize <= NetHeader.longSize)
    // SAFETY: there is room for at least one piece.
    unsafe vectors[0] = unsafe iovec(iov_base: header, iov_len: headerSize)
    count = 1
    guestBytes = 0
  }

  /// Adds the pieces of a chain.
  ///
  /// - Parameters:
  ///   - skipping: how many bytes to leave out at its start.
  ///   - limit: how many bytes to add at most.
  /// - Returns: false where there were more pieces than a system call takes; those that found room
  ///   are selected. One place is kept for the spill.
  @inline(__always)
  mutating func append(
    _ part: ChainPart, of chain: borrowing Chain, skipping: Int, limit: Int = .max
  ) -> Bool {
    // SAFETY: the buffers are used within this call, and the chain is borrowed for as long.
    let segments =
      unsafe part == .readable ? chain.readableSegments : chain.writableSegments
    var skip = skipping
    var left = limit
    for index in 0..<segments.count {
      // SAFETY: index is within the buffer.
      let segment = unsafe segments[index]
      guard skip < segment.byteCount else {
        skip &-= segment.byteCount
        continue
      }
      guard left > 0 else { return true }
      guard count < Self.pieceLimit &- 1 else { return false }
      let bytes = min(segment.byteCount &- skip, left)
      // SAFETY: count is below the capacity. The segment was validated when its chain was popped,
      // and skip + bytes lies within it.
      unsafe vectors[count] = unsafe iovec(
        iov_base: UnsafeMutableRawPointer(bitPattern: segment.address &+ UInt(skip)),
        iov_len: bytes)
      count &+= 1
      guestBytes &+= bytes
      left &-= bytes
      skip = 0
    }
    return true
  }

  /// Adds the spill behind everything else.
  @inline(__always)
  mutating func appendSpill() {
    precondition(count < Self.pieceLimit)
    // SAFETY: compared just above.
    unsafe vectors[count] = unsafe iovec(iov_base: spill, iov_len: spillCapacity)
    count &+= 1
  }

  /// Copies spilled bytes to a place in a chain. - Returns: how many found room.
  /// - Precondition: the range lies within the spill.
  func copySpill(_ range: Range<Int>, to chain: borrowing Chain, at offset: Int) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= spillCapacity)
    // SAFETY: compared just above.
    return unsafe chain.copyWritable(
      to: offset,
      from: UnsafeRawBufferPointer(start: spill + range.lowerBound, count: range.count))
  }

  // MARK: Transfers

  // SAFETY (both): the guest's pieces were validated when their chains were popped, and the queue
  // keeps that memory mapped while they are in flight; the others are this window's own.

  /// Reads one frame; where the descriptor waits, until there is one or the thread is nudged.
  ///
  /// - Returns: its bytes with the header, as many as found room.
  @inline(__always)
  borrowing func read(from descriptor: borrowing FileDescriptor) throws(Errno) -> Int {
    unsafe try descriptor.readv(
      UnsafeBufferPointer(start: vectors, count: count), retryOnInterrupt: false)
  }

  /// Writes one frame. - Returns: its bytes with the header.
  @inline(__always)
  borrowing func write(to descriptor: borrowing FileDescriptor) throws(Errno) -> Int {
    unsafe try descriptor.writev(UnsafeBufferPointer(start: vectors, count: count))
  }
}
