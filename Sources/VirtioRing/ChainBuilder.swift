// SPDX-License-Identifier: Apache-2.0
//
// ChainBuilder: turns descriptors into a chain, one buffer at a time. Both ring formats use it.
//
// Here are the checks that do not depend on the format: readable before writable, every byte in
// guest memory, bounded size, bounded number of segments. It keeps the region that was hit last,
// since requests cluster; a miss is a bisection.

/// The state of one walk. It lives on the stack of `pop`.
struct ChainBuilder: ~Copyable {
  private let table: RegionTable
  private var region: GuestRegion
  private var count = 0
  private var readableCount = 0
  private var readableBytes = 0
  private var writableBytes = 0

  /// - Parameter lastHit: the region to try first.
  @inline(__always)
  init(_ memory: borrowing GuestMemory, lastHit: GuestRegion) {
    table = memory.table
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
    _ descriptor: Descriptor, isWritable: Bool, to chain: borrowing Chain
  ) throws(RingError) {
    let length = UInt64(descriptor.length)
    if isWritable {
      writableBytes &+= Int(length)
    } else {
      // What was written already counts even if it was empty of bytes: the order is the driver's duty.
      guard count == readableCount else { throw .readableAfterWritable }
      readableBytes &+= Int(length)
    }
    // Each length is below 2^32 and there are at most 2^16 of them, so the sums cannot wrap.
    let offset = descriptor.address &- region.guestAddress
    if offset < region.byteCount, length <= region.byteCount &- offset, length > 0 {
      let segment = IOVector(
        address: region.hostAddress &+ UInt(offset), byteCount: Int(length))
      guard chain.segments.store(segment, at: count) else { throw .tooManySegments }
      count &+= 1
      if !isWritable { readableCount = count }
    } else if length > 0 {
      try appendPieces(descriptor.address, length, isWritable: isWritable, to: chain)
    }
  }

  /// Appends a buffer that is not in the region hit last, or not in one region alone.
  @inline(never)
  private mutating func appendPieces(
    _ address: UInt64, _ length: UInt64, isWritable: Bool, to chain: borrowing Chain
  ) throws(RingError) {
    var address = address
    var remaining = length
    // Ends: each turn takes at least a byte from a region, and goes on at the region's end.
    while remaining > 0 {
      guard let found = table.region(holding: address) else { throw .addressOutsideMemory }
      region = found
      let offset = address &- found.guestAddress
      let piece = min(remaining, found.byteCount &- offset)
      let segment = IOVector(
        address: found.hostAddress &+ UInt(offset), byteCount: Int(piece))
      guard chain.segments.store(segment, at: count) else { throw .tooManySegments }
      count &+= 1
      if !isWritable { readableCount = count }
      remaining &-= piece
      // Wraps only at the very end of the address space, where no region starts again but one at 0:
      // a region never passes the end, so its end is at most 2^64 - 1.
      address &+= piece
    }
  }

  /// Hands the chain over, complete.
  @inline(__always)
  consuming func finish(
    _ chain: inout Chain, id: UInt16, descriptorCount: UInt16
  ) throws(RingError) {
    guard readableBytes &+ writableBytes <= Int(UInt32.max) else { throw .chainTooLarge }
    chain.segmentCount = count
    chain.readableCount = readableCount
    chain.readableBytes = readableBytes
    chain.writableBytes = writableBytes
    chain.id = id
    chain.descriptorCount = descriptorCount
  }
}

extension ChainBuilder {
  /// Appends every buffer of an indirect table.
  ///
  /// - Parameters:
  ///   - followsNext: whether entries are linked (split) or simply stand in a row (packed).
  ///   - limit: the most entries a chain may have.
  mutating func appendTable(
    _ descriptor: Descriptor, followsNext: Bool, limit: Int, to chain: borrowing Chain
  ) throws(RingError) {
    let length = Int(descriptor.length)
    guard length > 0, length % Descriptor.byteCount == 0 else { throw .indirectBadLength }
    let entries = length / Descriptor.byteCount
    let offset = descriptor.address &- region.guestAddress
    var host: UInt
    if offset < region.byteCount, UInt64(length) <= region.byteCount &- offset {
      host = region.hostAddress &+ UInt(offset)
    } else if let found = table.region(holding: descriptor.address),
      UInt64(length) <= found.byteCount &- (descriptor.address &- found.guestAddress)
    {
      host = found.hostAddress &+ UInt(descriptor.address &- found.guestAddress)
    } else {
      host = 0
    }
    // A table in one region is read where it lies; one that crosses regions, entry by entry.
    let whole = host == 0 ? nil : IndirectTable(address: host, count: entries)
    var index = 0
    var steps = 0
    while true {
      guard steps < limit else { throw .chainTooLong }
      steps &+= 1
      let entry: Descriptor
      if let whole {
        guard let read = whole.descriptor(index) else { throw .nextOutOfRange }
        entry = read
      } else {
        entry = try scatteredEntry(descriptor.address, index: index, of: entries)
      }
      let flags = followsNext ? entry.splitFlags : entry.packedFlags
      guard flags & RingFlag.indirect == 0 else { throw .indirectNested }
      try append(entry, isWritable: flags & RingFlag.write != 0, to: chain)
      if followsNext {
        guard flags & RingFlag.next != 0 else { return }
        index = Int(entry.splitNext)
        guard index < entries else { throw .nextOutOfRange }
      } else {
        index &+= 1
        guard index < entries else { return }
      }
    }
  }

  /// Reads one entry of a table that does not lie in one region.
  @inline(never)
  private func scatteredEntry(
    _ table: UInt64, index: Int, of entries: Int
  ) throws(RingError) -> Descriptor {
    guard index < entries else { throw .nextOutOfRange }
    let (address, overflow) = table.addingReportingOverflow(
      UInt64(index) &* UInt64(Descriptor.byteCount))
    guard !overflow, let found = self.table.region(holding: address) else {
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
