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
  private let segments: SegmentSlots
  private var region: GuestRegion
  /// Of both parts together, so that a descriptor changes two numbers and not four.
  private var count = 0
  private var bytes = 0
  /// What was there when the device-writable part began; -1 before that.
  private var readableCount = -1
  private var readableBytes = 0

  /// - Parameter lastHit: the region to try first.
  @inline(__always)
  init(_ chain: borrowing Chain, lastHit: GuestRegion) {
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
  mutating func append(
    _ descriptor: Descriptor, isWritable: Bool, in memory: borrowing GuestMemory
  ) throws(RingError) {
    let length = UInt64(descriptor.length)
    // A writable buffer counts even if it has no bytes: the order is the driver's duty (2.7.4.2).
    if !isWritable {
      guard readableCount < 0 else { throw .readableAfterWritable }
    } else if readableCount < 0 {
      readableCount = count
      readableBytes = bytes
    }
    // Each length is below 2^32 and there are at most 2^16 of them, so the sum cannot wrap.
    bytes &+= Int(length)
    guard length > 0 else { return }
    var offset = descriptor.address &- region.guestAddress
    if offset >= region.byteCount {
      guard let found = memory.table.region(holding: descriptor.address) else {
        throw .addressOutsideMemory
      }
      region = found
      offset = descriptor.address &- found.guestAddress
    }
    if length <= region.byteCount &- offset {
      try put(region.hostAddress &+ UInt(offset), Int(length))
    } else {
      self = try appending(descriptor.address, length, in: memory)
    }
  }

  @inline(__always)
  private mutating func put(_ address: UInt, _ byteCount: Int) throws(RingError) {
    let segment = IOVector(address: address, byteCount: byteCount)
    guard segments.store(segment, at: count) else { throw .tooManySegments }
    count &+= 1
  }

  /// The walk after a buffer that crosses from one region into others.
  @inline(never)
  private func appending(
    _ address: UInt64, _ length: UInt64, in memory: borrowing GuestMemory
  ) throws(RingError) -> ChainBuilder {
    var next = self
    var address = address
    var remaining = length
    // Ends: each turn takes at least a byte from a region, and goes on at the region's end.
    while remaining > 0 {
      guard let found = memory.table.region(holding: address) else { throw .addressOutsideMemory }
      next.region = found
      let offset = address &- found.guestAddress
      let piece = min(remaining, found.byteCount &- offset)
      try next.put(found.hostAddress &+ UInt(offset), Int(piece))
      remaining &-= piece
      // A region never passes the end of the address space, so this is at most 2^64 - 1.
      address &+= piece
    }
    return next
  }

  /// Hands the chain over, complete.
  @inline(__always)
  func finish(_ chain: inout Chain, id: UInt16, descriptorCount: UInt16) throws(RingError) {
    guard bytes <= Int(UInt32.max) else { throw .chainTooLarge }
    let readable = readableCount < 0 ? bytes : readableBytes
    chain.storage.header.segmentCount = count
    chain.storage.header.readableCount = readableCount < 0 ? count : readableCount
    chain.storage.header.readableBytes = readable
    chain.storage.header.writableBytes = bytes &- readable
    chain.storage.header.id = id
    chain.storage.header.descriptorCount = descriptorCount
  }
}

extension ChainBuilder {
  /// Appends every buffer of an indirect table.
  ///
  /// - Parameters:
  ///   - followsNext: whether entries are linked (split) or simply stand in a row (packed).
  ///   - ignoresWrite: whether all entries are taken to be device-readable.
  ///   - limit: the most entries a chain may have.
  @inline(__always)
  mutating func appendTable(
    _ descriptor: Descriptor, followsNext: Bool, ignoresWrite: Bool = false, limit: Int,
    in memory: borrowing GuestMemory
  ) throws(RingError) {
    let length = UInt64(descriptor.length)
    guard length > 0, length % UInt64(Descriptor.byteCount) == 0 else {
      throw .indirectBadLength
    }
    let entries = Int(length) / Descriptor.byteCount
    // The buffers of a table are likely in the region that holds the table, or in the one hit last; the
    // latter stays the first guess.
    var holder = region
    var offset = descriptor.address &- holder.guestAddress
    if offset >= holder.byteCount {
      guard let found = memory.table.region(holding: descriptor.address) else {
        throw .indirectOutsideMemory
      }
      holder = found
      offset = descriptor.address &- found.guestAddress
    }
    guard length <= holder.byteCount &- offset,
      let table = IndirectTable(address: holder.hostAddress &+ UInt(offset), count: entries)
    else {
      self = try appendingScatteredTable(
        descriptor.address, entries: entries, followsNext: followsNext, ignoresWrite: ignoresWrite,
        limit: limit, in: memory)
      return
    }
    var index = 0
    for _ in 0..<limit {
      guard let entry = table.descriptor(index) else { throw .nextOutOfRange }
      let flags = followsNext ? entry.splitFlags : entry.packedFlags
      guard flags & RingFlag.indirect == 0 else { throw .indirectNested }
      try append(entry, isWritable: flags & RingFlag.write != 0 && !ignoresWrite, in: memory)
      if followsNext {
        guard flags & RingFlag.next != 0 else { return }
        index = Int(entry.splitNext)
      } else {
        index &+= 1
        guard index < entries else { return }
      }
    }
    throw .chainTooLong
  }

  /// The walk after a table that does not begin the chain: `appendTable`, out of line.
  @inline(never)
  func appendingTable(
    _ descriptor: Descriptor, followsNext: Bool, ignoresWrite: Bool = false, limit: Int,
    in memory: borrowing GuestMemory
  ) throws(RingError) -> ChainBuilder {
    var next = self
    try next.appendTable(
      descriptor, followsNext: followsNext, ignoresWrite: ignoresWrite, limit: limit, in: memory)
    return next
  }

  /// The walk after a table that crosses from one region into others: it is read entry by entry.
  @inline(never)
  private func appendingScatteredTable(
    _ address: UInt64, entries: Int, followsNext: Bool, ignoresWrite: Bool = false, limit: Int,
    in memory: borrowing GuestMemory
  ) throws(RingError) -> ChainBuilder {
    var next = self
    var index = 0
    for _ in 0..<limit {
      let entry = try scatteredEntry(address, index: index, of: entries, in: memory)
      let flags = followsNext ? entry.splitFlags : entry.packedFlags
      guard flags & RingFlag.indirect == 0 else { throw .indirectNested }
      try next.append(entry, isWritable: flags & RingFlag.write != 0 && !ignoresWrite, in: memory)
      if followsNext {
        guard flags & RingFlag.next != 0 else { return next }
        index = Int(entry.splitNext)
      } else {
        index &+= 1
        guard index < entries else { return next }
      }
    }
    throw .chainTooLong
  }

  /// Reads one entry of a table that does not lie in one region.
  private func scatteredEntry(
    _ address: UInt64, index: Int, of entries: Int, in memory: borrowing GuestMemory
  ) throws(RingError) -> Descriptor {
    guard index < entries else { throw .nextOutOfRange }
    let (address, overflow) = address.addingReportingOverflow(
      UInt64(index) &* UInt64(Descriptor.byteCount))
    guard !overflow, let found = memory.table.region(holding: address) else {
      throw .indirectOutsideMemory
    }
    let offset = address &- found.guestAddress
    if UInt64(Descriptor.byteCount) <= found.byteCount &- offset {
      guard let one = IndirectTable(address: found.hostAddress &+ UInt(offset), count: 1),
        let entry = one.descriptor(0)
      else { throw .indirectOutsideMemory }
      return entry
    }
    // An unaligned table may even have an entry that two regions share.
    let low = try scatteredWord(address, in: memory)
    let (high, pastEnd) = address.addingReportingOverflow(8)
    guard !pastEnd else { throw .indirectOutsideMemory }
    return Descriptor(address: low, word: try scatteredWord(high, in: memory))
  }

  /// Reads eight bytes, each once, from whichever regions hold them.
  private func scatteredWord(
    _ address: UInt64, in memory: borrowing GuestMemory
  ) throws(RingError) -> UInt64 {
    var word: UInt64 = 0
    for index in UInt64(0)..<8 {
      let (place, overflow) = address.addingReportingOverflow(index)
      guard !overflow, let found = memory.table.region(holding: place),
        let byte = IndirectTable.byte(
          at: found.hostAddress &+ UInt(place &- found.guestAddress))
      else { throw .indirectOutsideMemory }
      word |= UInt64(byte) << (index &* 8)
    }
    return word
  }
}
