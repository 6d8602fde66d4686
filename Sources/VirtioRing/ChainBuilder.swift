// SPDX-License-Identifier: Apache-2.0
//
// ChainBuilder: turns descriptors into a chain, one buffer at a time. Both ring formats use it.
//
// Here are the checks that do not depend on the format: readable before writable, every byte in
// guest memory, bounded size, bounded number of segments. It keeps the region that was hit last,
// since requests cluster; a miss is a bisection.

/// The state of one walk. It lives in registers during `pop`: the slow paths take it by value and give
/// it back, so that its address is never taken. Narrow stores that are read back wide cost more than
/// all the checks together.
struct ChainBuilder {
  private let table: RegionTable
  private let segments: SegmentSlots
  private var region: GuestRegion
  private var count = 0
  private var readableCount = 0
  private var readableBytes = 0
  private var writableBytes = 0

  /// - Parameter lastHit: the region to try first.
  @inline(__always)
  init(_ memory: borrowing GuestMemory, _ chain: borrowing Chain, lastHit: GuestRegion) {
    table = memory.table
    segments = chain.storage.slots
    region = lastHit
  }

  /// The region to try first next time.
  var lastHit: GuestRegion {
    @inline(__always) get { region }
  }

  /// Appends the buffer of a descriptor.
  ///
  /// A buffer of no bytes adds nothing and its address is not looked at: it is pointless, not harmful.
  @inline(__always)
  mutating func append(_ descriptor: Descriptor, isWritable: Bool) throws(RingError) {
    let length = UInt64(descriptor.length)
    // Each length is below 2^32 and there are at most 2^16 of them, so the sums cannot wrap.
    if isWritable {
      writableBytes &+= Int(length)
    } else {
      // A writable buffer of no bytes before this one is forgiven, as it is nowhere in the chain.
      guard count == readableCount else { throw .readableAfterWritable }
      readableBytes &+= Int(length)
    }
    guard length > 0 else { return }
    var offset = descriptor.address &- region.guestAddress
    if offset >= region.byteCount {
      guard let found = table.region(holding: descriptor.address) else {
        throw .addressOutsideMemory
      }
      region = found
      offset = descriptor.address &- found.guestAddress
    }
    if length <= region.byteCount &- offset {
      try put(region.hostAddress &+ UInt(offset), Int(length), isWritable: isWritable)
    } else {
      self = try appending(descriptor.address, length, isWritable: isWritable)
    }
  }

  @inline(__always)
  private mutating func put(
    _ address: UInt, _ byteCount: Int, isWritable: Bool
  ) throws(RingError) {
    let segment = IOVector(address: address, byteCount: byteCount)
    guard segments.store(segment, at: count) else { throw .tooManySegments }
    count &+= 1
    if !isWritable { readableCount = count }
  }

  /// The walk after a buffer that crosses from one region into others.
  @inline(never)
  private func appending(
    _ address: UInt64, _ length: UInt64, isWritable: Bool
  ) throws(RingError) -> ChainBuilder {
    var next = self
    var address = address
    var remaining = length
    // Ends: each turn takes at least a byte from a region, and goes on at the region's end.
    while remaining > 0 {
      guard let found = table.region(holding: address) else { throw .addressOutsideMemory }
      next.region = found
      let offset = address &- found.guestAddress
      let piece = min(remaining, found.byteCount &- offset)
      try next.put(found.hostAddress &+ UInt(offset), Int(piece), isWritable: isWritable)
      remaining &-= piece
      // A region never passes the end of the address space, so this is at most 2^64 - 1.
      address &+= piece
    }
    return next
  }

  /// Hands the chain over, complete.
  @inline(__always)
  func finish(_ chain: inout Chain, id: UInt16, descriptorCount: UInt16) throws(RingError) {
    guard readableBytes &+ writableBytes <= Int(UInt32.max) else { throw .chainTooLarge }
    chain.storage.header.segmentCount = count
    chain.storage.header.readableCount = readableCount
    chain.storage.header.readableBytes = readableBytes
    chain.storage.header.writableBytes = writableBytes
    chain.storage.header.id = id
    chain.storage.header.descriptorCount = descriptorCount
  }
}

extension ChainBuilder {
  /// The walk after every buffer of an indirect table.
  ///
  /// - Parameters:
  ///   - followsNext: whether entries are linked (split) or simply stand in a row (packed).
  ///   - limit: the most entries a chain may have.
  @inline(__always)
  func appendingTable(
    _ descriptor: Descriptor, followsNext: Bool, limit: Int
  ) throws(RingError) -> ChainBuilder {
    let length = UInt64(descriptor.length)
    guard length > 0, length % UInt64(Descriptor.byteCount) == 0 else {
      throw .indirectBadLength
    }
    let entries = Int(length) / Descriptor.byteCount
    let offset = descriptor.address &- region.guestAddress
    if offset < region.byteCount, length <= region.byteCount &- offset,
      let table = IndirectTable(address: region.hostAddress &+ UInt(offset), count: entries)
    {
      return try appendingEntries(of: table, followsNext: followsNext, limit: limit)
    }
    return try appendingDistantTable(
      descriptor.address, entries: entries, followsNext: followsNext, limit: limit)
  }

  /// Reads a table where it lies, in one region.
  @inline(__always)
  private func appendingEntries(
    of table: IndirectTable, followsNext: Bool, limit: Int
  ) throws(RingError) -> ChainBuilder {
    var next = self
    var index = 0
    for _ in 0..<limit {
      guard let entry = table.descriptor(index) else { throw .nextOutOfRange }
      guard let following = try next.append(entry, at: index, followsNext: followsNext) else {
        return next
      }
      index = following
      if !followsNext, index == table.count { return next }
    }
    throw .chainTooLong
  }

  /// Appends an entry. - Returns: the index of the one that follows it, nil after the last of a split
  /// ring's.
  @inline(__always)
  private mutating func append(
    _ entry: Descriptor, at index: Int, followsNext: Bool
  ) throws(RingError) -> Int? {
    let flags = followsNext ? entry.splitFlags : entry.packedFlags
    guard flags & RingFlag.indirect == 0 else { throw .indirectNested }
    try append(entry, isWritable: flags & RingFlag.write != 0)
    guard followsNext else { return index &+ 1 }
    return flags & RingFlag.next != 0 ? Int(entry.splitNext) : nil
  }

  /// A table that is not in the region hit last, or that crosses regions and is read entry by entry.
  @inline(never)
  private func appendingDistantTable(
    _ address: UInt64, entries: Int, followsNext: Bool, limit: Int
  ) throws(RingError) -> ChainBuilder {
    if let found = table.region(holding: address) {
      let offset = address &- found.guestAddress
      if UInt64(entries &* Descriptor.byteCount) <= found.byteCount &- offset,
        let table = IndirectTable(address: found.hostAddress &+ UInt(offset), count: entries)
      {
        return try appendingEntries(of: table, followsNext: followsNext, limit: limit)
      }
    }
    var next = self
    var index = 0
    for _ in 0..<limit {
      let entry = try scatteredEntry(address, index: index, of: entries)
      guard let following = try next.append(entry, at: index, followsNext: followsNext) else {
        return next
      }
      index = following
      if !followsNext, index == entries { return next }
    }
    throw .chainTooLong
  }

  /// Reads one entry of a table that does not lie in one region.
  private func scatteredEntry(
    _ address: UInt64, index: Int, of entries: Int
  ) throws(RingError) -> Descriptor {
    guard index < entries else { throw .nextOutOfRange }
    let (address, overflow) = address.addingReportingOverflow(
      UInt64(index) &* UInt64(Descriptor.byteCount))
    guard !overflow, let found = table.region(holding: address) else {
      throw .indirectOutsideMemory
    }
    let offset = address &- found.guestAddress
    guard UInt64(Descriptor.byteCount) <= found.byteCount &- offset,
      let one = IndirectTable(address: found.hostAddress &+ UInt(offset), count: 1),
      let entry = one.descriptor(0)
    else { throw .indirectOutsideMemory }
    return entry
  }
}
