// SPDX-License-Identifier: Apache-2.0
//
// TestMemory: guest memory that a test owns, and the words of it. The fence file of this module: the
// only one that follows pointers.
//
// The driver's side may share its memory with a device in another thread or process, so words are
// relaxed, acquire or release atomics, as on the device's side. Every access is compared with the
// extent it was made for; a test that leaves its memory traps here, at the place of the mistake.

import Synchronization
public import VirtioRing

// MARK: A window

/// A contiguous piece of shared memory, addressed by byte offsets from its start.
@safe
struct SharedWindow: @unchecked Sendable {
  // Sendable because all words are accessed as atomics; whoever holds a window holds its TestMemory.
  private let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// - Parameter address: of `byteCount` mapped bytes, or the window is nil.
  fileprivate init?(address: UInt, byteCount: Int) {
    // SAFETY: an address becomes a pointer; only `at` follows it.
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: address), byteCount >= 0 else {
      return nil
    }
    unsafe self.base = base
    self.byteCount = byteCount
  }

  @inline(__always)
  private func at<Word: AtomicRepresentable>(
    _ offset: Int, _: Word.Type
  ) -> UnsafeMutablePointer<Atomic<Word>> {
    precondition(offset >= 0 && offset <= byteCount - MemoryLayout<Word>.size, "outside the window")
    // SAFETY: compared just above; the memory is mapped while its TestMemory lives.
    return unsafe (base + offset).assumingMemoryBound(to: Atomic<Word>.self)
  }

  // SAFETY (all accessors below): `at` has compared the offset. Words may lie unaligned where a test
  // wants them so; then they are not atomic, which is what such a test looks for.

  @inline(__always)
  func load8(_ offset: Int) -> UInt8 {
    unsafe at(offset, UInt8.self).pointee.load(ordering: .relaxed)
  }

  @inline(__always)
  func load16(_ offset: Int) -> UInt16 {
    unsafe at(offset, UInt16.self).pointee.load(ordering: .relaxed)
  }

  @inline(__always)
  func load16Acquiring(_ offset: Int) -> UInt16 {
    unsafe at(offset, UInt16.self).pointee.load(ordering: .acquiring)
  }

  @inline(__always)
  func load32(_ offset: Int) -> UInt32 {
    unsafe at(offset, UInt32.self).pointee.load(ordering: .relaxed)
  }

  @inline(__always)
  func load64(_ offset: Int) -> UInt64 {
    unsafe at(offset, UInt64.self).pointee.load(ordering: .relaxed)
  }

  @inline(__always)
  func store8(_ value: UInt8, _ offset: Int) {
    unsafe at(offset, UInt8.self).pointee.store(value, ordering: .relaxed)
  }

  @inline(__always)
  func store16(_ value: UInt16, _ offset: Int) {
    unsafe at(offset, UInt16.self).pointee.store(value, ordering: .relaxed)
  }

  @inline(__always)
  func store16Releasing(_ value: UInt16, _ offset: Int) {
    unsafe at(offset, UInt16.self).pointee.store(value, ordering: .releasing)
  }

  @inline(__always)
  func store32(_ value: UInt32, _ offset: Int) {
    unsafe at(offset, UInt32.self).pointee.store(value, ordering: .relaxed)
  }

  @inline(__always)
  func store64(_ value: UInt64, _ offset: Int) {
    unsafe at(offset, UInt64.self).pointee.store(value, ordering: .relaxed)
  }

  func fill(_ byte: UInt8) {
    // SAFETY: all of the window.
    unsafe base.initializeMemory(as: UInt8.self, repeating: byte, count: byteCount)
  }
}

/// Orders a store of ours before a load of the device's word (virtio 1.3, 2.7.13.3.1).
@inline(__always)
func driverFence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

// MARK: Guest memory

/// Guest memory of one or many regions, and access to it by guest address.
///
/// Either it owns its memory (regions that lie next to each other in guest-physical space then
/// never do so in host memory), or the memory comes from outside, such as a mapped memfd that a
/// vhost-user device shares.
public final class TestMemory: Sendable {
  /// The same memory as a device is given it.
  public let guestMemory: GuestMemory

  /// Makes zeroed memory of the given ranges of guest-physical addresses.
  ///
  /// - Throws: what `GuestMemory` finds wrong with the ranges.
  public init(_ ranges: [Range<UInt64>]) throws(GuestMemoryError) {
    let blocks = HostBlocks(ranges)
    // SAFETY: each region is a block of its owner, of its size.
    guestMemory = try unsafe GuestMemory(regions: blocks.regions, owner: blocks)
  }

  /// Makes one zeroed region that starts at guest address 0.
  ///
  /// - Precondition: `byteCount` is above 0.
  public init(byteCount: UInt64) {
    precondition(byteCount > 0)
    do {
      let blocks = HostBlocks([0..<byteCount])
      // SAFETY: as above.
      guestMemory = try unsafe GuestMemory(regions: blocks.regions, owner: blocks)
    } catch {
      preconditionFailure("one region is refused: \(error)")
    }
  }

  /// The driver's view of memory that a device has been given.
  public init(sharing guestMemory: GuestMemory) {
    self.guestMemory = guestMemory
  }

  /// Uses memory from outside.
  ///
  /// - Parameters:
  ///   - regions: what the memory is made of.
  ///   - owner: keeps every region's mapping alive until it is released.
  /// - Safety: the host addresses must be mapped, readable and writable, for as long as `owner` lives.
  @unsafe
  public init(
    regions: [GuestRegion], owner: any AnyObject & Sendable
  ) throws(GuestMemoryError) {
    // SAFETY: the caller's promise is passed on.
    guestMemory = try unsafe GuestMemory(regions: regions, owner: owner)
  }

  /// The window of a range that lies in one region; nil where it does not.
  func window(at address: UInt64, byteCount: Int) -> SharedWindow? {
    guard let host = guestMemory.hostAddress(of: address, byteCount: UInt64(byteCount)) else {
      return nil
    }
    return SharedWindow(address: host, byteCount: byteCount)
  }

  /// Whether guest memory holds every byte of a range, in however many regions.
  public func holds(_ address: UInt64, byteCount: UInt64) -> Bool {
    var address = address
    var remaining = byteCount
    while remaining > 0 {
      guard let region = region(holding: address) else { return false }
      let piece = min(remaining, region.byteCount - (address - region.guestAddress))
      remaining -= piece
      if remaining > 0 { address += piece }
    }
    return true
  }

  private func region(holding address: UInt64) -> GuestRegion? {
    for index in 0..<guestMemory.regionCount {
      let region = guestMemory[index]
      if address >= region.guestAddress, address - region.guestAddress < region.byteCount {
        return region
      }
    }
    return nil
  }

  /// Reads a word: one relaxed access where one region holds it at an aligned host address, else byte
  /// after byte.
  ///
  /// - Precondition: guest memory holds it, and it has at most 8 bytes.
  public func load<Word: FixedWidthInteger & UnsignedInteger>(
    _: Word.Type, at address: UInt64
  ) -> Word {
    let size = Word.bitWidth / 8
    if let window = window(at: address, byteCount: size), address % UInt64(size) == 0 {
      switch size {
      case 1: return Word(truncatingIfNeeded: window.load8(0))
      case 2: return Word(truncatingIfNeeded: window.load16(0))
      case 4: return Word(truncatingIfNeeded: window.load32(0))
      default: return Word(truncatingIfNeeded: window.load64(0))
      }
    }
    var word: Word = 0
    for index in 0..<size {
      word |= Word(truncatingIfNeeded: byte(at: address + UInt64(index)).load8(0)) << (index * 8)
    }
    return word
  }

  /// Writes a word, as `load` reads it.
  ///
  /// - Precondition: guest memory holds its place, and it has at most 8 bytes.
  public func store<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, at address: UInt64) {
    let size = Word.bitWidth / 8
    if let window = window(at: address, byteCount: size), address % UInt64(size) == 0 {
      switch size {
      case 1: window.store8(UInt8(truncatingIfNeeded: word), 0)
      case 2: window.store16(UInt16(truncatingIfNeeded: word), 0)
      case 4: window.store32(UInt32(truncatingIfNeeded: word), 0)
      default: window.store64(UInt64(truncatingIfNeeded: word), 0)
      }
      return
    }
    for index in 0..<size {
      byte(at: address + UInt64(index)).store8(UInt8(truncatingIfNeeded: word >> (index * 8)), 0)
    }
  }

  /// Reads bytes. - Precondition: guest memory holds them.
  public func bytes(at address: UInt64, count: Int) -> [UInt8] {
    (0..<count).map { byte(at: address + UInt64($0)).load8(0) }
  }

  /// Writes bytes. - Precondition: guest memory holds their place.
  public func write(_ bytes: [UInt8], at address: UInt64) {
    for (index, value) in bytes.enumerated() {
      byte(at: address + UInt64(index)).store8(value, 0)
    }
  }

  /// Sets every byte of a range. - Precondition: guest memory holds it.
  public func fill(_ value: UInt8, at address: UInt64, count: UInt64) {
    var address = address
    var remaining = count
    while remaining > 0 {
      guard let region = region(holding: address) else {
        preconditionFailure("guest address \(address) is outside the test's memory")
      }
      let piece = min(remaining, region.byteCount - (address - region.guestAddress))
      window(at: address, byteCount: Int(piece))?.fill(value)
      remaining -= piece
      address &+= piece
    }
  }

  private func byte(at address: UInt64) -> SharedWindow {
    guard let window = window(at: address, byteCount: 1) else {
      preconditionFailure("guest address \(address) is outside the test's memory")
    }
    return window
  }
}

/// Page-aligned host memory, a block for each region, freed with this object.
@safe
private final class HostBlocks: @unchecked Sendable {
  // Sendable because nothing of it changes after init.
  private static let pageSize = 4096
  let regions: [GuestRegion]
  private let blocks: [UnsafeMutableRawPointer]

  init(_ ranges: [Range<UInt64>]) {
    var regions: [GuestRegion] = []
    // SAFETY: pointers that are kept, not followed.
    var blocks: [UnsafeMutableRawPointer] = unsafe []
    for range in ranges {
      // A page more than asked for: the end of one block never touches the start of the next.
      let byteCount = Int(range.upperBound - range.lowerBound)
      let block = UnsafeMutableRawPointer.allocate(
        byteCount: byteCount + Self.pageSize, alignment: Self.pageSize)
      // SAFETY: a fresh block is written within its size.
      unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount + Self.pageSize)
      unsafe blocks.append(block)
      regions.append(
        GuestRegion(
          guestAddress: range.lowerBound, byteCount: UInt64(byteCount),
          hostAddress: UInt(bitPattern: block)))
    }
    self.regions = regions
    unsafe self.blocks = blocks
  }

  deinit {
    // SAFETY: each block is freed once; nobody has the regions any more.
    unsafe blocks.forEach { unsafe $0.deallocate() }
  }
}
