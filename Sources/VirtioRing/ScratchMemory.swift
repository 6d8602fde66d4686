// SPDX-License-Identifier: Apache-2.0
//
// ScratchMemory: memory of the device's own, which no driver can reach: the table of guest regions,
// the segments of a chain, the record of what is in flight. A fence file, as RingMemory.swift is.

// MARK: Region table

/// The regions of guest memory, sorted by guest address, in memory that an owner keeps alive.
@safe
struct RegionTable: @unchecked Sendable {
  private let base: UnsafePointer<GuestRegion>
  let count: Int

  /// - Parameter base: `count` regions, sorted and disjoint, immutable while anybody can look.
  @unsafe
  init(base: UnsafePointer<GuestRegion>, count: Int) {
    // SAFETY: the caller vouches for the table.
    unsafe self.base = unsafe base
    self.count = count
  }

  /// - Precondition: `index` is in `0..<count`.
  @inline(__always)
  subscript(index: Int) -> GuestRegion {
    precondition(index >= 0 && index < count)
    // SAFETY: compared just above; the table's owner is alive as long as its GuestMemory.
    return unsafe base[index]
  }

  /// The region that holds the guest address, found by bisection: at most nine steps for 509 regions.
  @inline(__always)
  func region(holding address: UInt64) -> GuestRegion? {
    // The invariant: every region before `low` starts at or below the address, none from `high` on.
    var low = 0
    var high = count
    while low < high {
      let middle = (low &+ high) >> 1
      // SAFETY: 0 <= low <= middle < high <= count.
      if unsafe base[middle].guestAddress <= address {
        low = middle &+ 1
      } else {
        high = middle
      }
    }
    guard low > 0 else { return nil }
    // SAFETY: 0 < low <= count.
    let region = unsafe base[low &- 1]
    return address &- region.guestAddress < region.byteCount ? region : nil
  }

  /// The region whose host mapping holds the host address. Linear: for the dirty log only.
  func region(holdingHost address: UInt) -> GuestRegion? {
    for index in 0..<count {
      let region = self[index]
      if address >= region.hostAddress,
        UInt64(address &- region.hostAddress) < region.byteCount
      {
        return region
      }
    }
    return nil
  }
}

// MARK: Private memory of a queue

/// A value in a block of its own: one word, wherever it goes.
@safe
struct ScratchBox<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable: whoever holds it is the only one who can reach the value.
  private let base: UnsafeMutablePointer<Value>

  init(_ value: consuming Value) {
    // SAFETY: the block is made for one value; deinit destroys and frees it, once.
    let block = unsafe allocateScratch(byteCount: MemoryLayout<Value>.size)
    unsafe base = block.bindMemory(to: Value.self, capacity: 1)
    unsafe base.initialize(to: value)
  }

  deinit {
    unsafe base.deinitialize(count: 1)
    unsafe base.deallocate()
  }

  /// The value, in place.
  var value: Value {
    @inline(__always) unsafeAddress {
      // SAFETY: initialised for as long as this box lives.
      unsafe UnsafePointer(base)
    }
    @inline(__always) unsafeMutableAddress { unsafe base }
  }
}

/// What is known of a chain besides its segments.
struct ChainHeader {
  /// How many segments there is room for.
  let capacity: Int
  var segmentCount = 0
  var readableCount = 0
  var readableBytes = 0
  var writableBytes = 0
  var id: UInt16 = 0
  var descriptorCount: UInt16 = 0
}

/// The memory of one chain: a header and room for segments, in one block.
///
/// It is one word, so that a chain goes from call to call in a register. A chain that was a struct of
/// all its fields would be copied to the stack for every call that borrows it.
@safe
struct ChainStorage: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable: whoever holds it is the only one who can reach the memory.
  private let base: UnsafeMutablePointer<ChainHeader>

  init(capacity: Int) {
    let capacity = max(1, capacity)
    // SAFETY: the block is made for a header and that many segments behind it; deinit frees it, once. Segments are
    // numbers, and nobody looks at one before a walk has stored it: memory that no chain needs is never touched.
    let block = unsafe allocateScratch(
      byteCount: MemoryLayout<ChainHeader>.stride + capacity * MemoryLayout<IOVector>.stride)
    unsafe base = block.bindMemory(to: ChainHeader.self, capacity: 1)
    unsafe base.initialize(to: ChainHeader(capacity: capacity))
  }

  deinit { unsafe base.deallocate() }

  /// The first segment: it follows the header, whose stride is a multiple of a segment's alignment.
  private var segments: UnsafeMutablePointer<IOVector> {
    @inline(__always) get {
      // SAFETY: as above.
      unsafe UnsafeMutableRawPointer(base + 1).assumingMemoryBound(to: IOVector.self)
    }
  }

  /// The header.
  var header: ChainHeader {
    @inline(__always) unsafeAddress {
      // SAFETY: initialised for as long as this value lives.
      unsafe UnsafePointer(base)
    }
    @inline(__always) nonmutating unsafeMutableAddress { unsafe base }
  }

  /// Takes over what another chain is. - Returns: false where there is no room for its segments.
  @inline(__always)
  func copy(_ other: borrowing ChainStorage) -> Bool {
    let count = other.header.segmentCount
    guard count <= header.capacity else { return false }
    // SAFETY: compared just above; the two are different blocks, since neither can be copied.
    unsafe segments.update(from: other.segments, count: count)
    header.segmentCount = count
    header.readableCount = other.header.readableCount
    header.readableBytes = other.header.readableBytes
    header.writableBytes = other.header.writableBytes
    header.id = other.header.id
    header.descriptorCount = other.header.descriptorCount
    return true
  }

  /// Where the segments go; valid while this value lives.
  var slots: SegmentSlots {
    @inline(__always) get {
      // SAFETY: the segments lie behind the header, as many as it says there is room for.
      unsafe SegmentSlots(header: base)
    }
  }

  /// - Precondition: the chain has a segment `index`.
  @inline(__always)
  subscript(index: Int) -> IOVector {
    precondition(index >= 0 && index < header.segmentCount)
    // SAFETY: compared just above; the walk has stored so many.
    return unsafe segments[index]
  }

  /// - Precondition: the chain has these segments. The buffer is valid while this value lives.
  @unsafe
  func pointer(_ range: Range<Int>) -> UnsafeBufferPointer<IOVector> {
    precondition(range.lowerBound >= 0 && range.upperBound <= header.segmentCount)
    return unsafe UnsafeBufferPointer(
      start: segments + range.lowerBound, count: range.count)
  }
}

/// Room for segments, as a walk over descriptors sees it: one word, since a walk has few registers to spare.
@safe
struct SegmentSlots {
  private let header: UnsafeMutablePointer<ChainHeader>

  /// - Safety: the segments must lie behind the header, as many as it says, and outlive this value.
  @unsafe
  @inline(__always)
  fileprivate init(header: UnsafeMutablePointer<ChainHeader>) {
    // SAFETY: the caller vouches for the memory.
    unsafe self.header = unsafe header
  }

  /// Stores a segment. - Returns: false where there is no room.
  @inline(__always)
  func store(_ segment: IOVector, at index: Int) -> Bool {
    // One comparison: as an unsigned number a negative index is beyond every capacity.
    // SAFETY: the header is there for as long as the chain.
    guard unsafe UInt(bitPattern: index) < UInt(bitPattern: header.pointee.capacity) else {
      return false
    }
    // SAFETY: compared just above; the walk holds the chain whose buffer this is.
    unsafe UnsafeMutableRawPointer(header + 1).assumingMemoryBound(to: IOVector.self)[index] =
      segment
    return true
  }
}

/// What is in flight, one slot per head or buffer id, and the order it was taken in.
@safe
struct InFlightTable: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable, as above.

  /// A head or id: one word, so that it is stored and loaded whole.
  struct Slot {
    /// From the low bits up: bytes written (32), descriptors (16), whether it is done (1).
    private let word: UInt64

    /// One that the driver owns.
    @inline(__always) init() { word = 0 }

    /// One in flight.
    @inline(__always) init(descriptors: UInt16) { word = UInt64(descriptors) << 32 }

    /// One that the device has done with, but that waits for older ones.
    @inline(__always) init(doneWith slot: Slot, written: UInt32) {
      word = slot.word | UInt64(written) | 1 << 48
    }

    /// 0 for one that the driver owns.
    @inline(__always) var descriptors: UInt16 { UInt16(truncatingIfNeeded: word >> 32) }
    @inline(__always) var written: UInt32 { UInt32(truncatingIfNeeded: word) }
    @inline(__always) var isDone: Bool { word >> 48 != 0 }
    /// In flight and not done: there are descriptors, and nothing above them.
    @inline(__always) var isWithDevice: Bool { (word >> 32) &- 1 < 0xffff }
  }

  private let slots: UnsafeMutablePointer<Slot>
  private let order: UnsafeMutablePointer<UInt16>
  let size: UInt16

  init(size: UInt16) {
    self.size = size
    // SAFETY: all of what is allocated is initialised; deinit frees it, once.
    let count = max(1, Int(size))
    unsafe slots = allocateScratch(byteCount: count * MemoryLayout<Slot>.stride)
      .bindMemory(to: Slot.self, capacity: count)
    unsafe order = allocateScratch(byteCount: count * MemoryLayout<UInt16>.stride)
      .bindMemory(to: UInt16.self, capacity: count)
    unsafe slots.initialize(repeating: Slot(), count: count)
    unsafe order.initialize(repeating: 0, count: count)
  }

  deinit {
    unsafe slots.deallocate()
    unsafe order.deallocate()
  }

  /// - Precondition: `id` is below the queue's size; the queue has checked the driver's number.
  @inline(__always)
  subscript(id: UInt16) -> Slot {
    get {
      precondition(id < size)
      // SAFETY: compared just above; all slots are initialised.
      return unsafe slots[Int(id)]
    }
    nonmutating set {
      precondition(id < size)
      // SAFETY: compared just above.
      unsafe slots[Int(id)] = newValue
    }
  }

  /// The slot of a number that the driver gave, or nil where there is no such slot.
  @inline(__always)
  func slot(_ id: UInt16) -> Slot? {
    guard id < size else { return nil }
    // SAFETY: compared just above; all slots are initialised.
    return unsafe slots[Int(id)]
  }

  /// The id at a position of the order in which chains were taken.
  /// - Precondition: `position` is below the queue's size.
  @inline(__always)
  func orderedID(_ position: UInt16) -> UInt16 {
    precondition(position < size)
    // SAFETY: compared just above.
    return unsafe order[Int(position)]
  }

  @inline(__always)
  func setOrderedID(_ position: UInt16, _ id: UInt16) {
    precondition(position < size)
    // SAFETY: compared just above.
    unsafe order[Int(position)] = id
  }
}

// MARK: The table's owner

#if !hasFeature(Embedded)
  /// Owns a sorted copy of the regions and whatever keeps them mapped. It allocates, so the
  /// allocation-free build of the ring's core leaves it out.
  @safe
  final class RegionStorage: @unchecked Sendable {
    // Sendable because nothing of it changes after init.
    private let base: UnsafeMutablePointer<GuestRegion>
    private let count: Int
    private let mappings: any AnyObject & Sendable

    init(_ regions: [GuestRegion], mappings: any AnyObject & Sendable) {
      count = regions.count
      self.mappings = mappings
      // SAFETY: deinit frees it, once; `count` regions are initialised below.
      unsafe base = .allocate(capacity: max(1, count))
      for (index, region) in regions.enumerated() {
        // SAFETY: index < count, the capacity.
        unsafe (base + index).initialize(to: region)
      }
    }

    deinit { unsafe base.deallocate() }

    /// The table; valid while this object lives.
    var table: RegionTable {
      // SAFETY: `count` regions were initialised; GuestMemory keeps this object with the table.
      unsafe RegionTable(base: UnsafePointer(base), count: count)
    }
  }
#endif
