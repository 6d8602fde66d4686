// SPDX-License-Identifier: Apache-2.0
//
// MemoryTable: the guest memory of a session, region by region, and the two sorts of addresses that a
// front-end uses for it: guest-physical ones in rings, and its own ("user addresses") for the rings.
//
// A table never changes. A change makes another one, which shares the mappings of regions that stay;
// a mapping goes when the last table, and the last queue that works on one, lets it go.

import Backends
import Linux
import VirtioRing

/// A region and its mapping.
final class MappedRegion: Sendable {
  let description: RegionDescription
  private let mapping: SharedMapping
  /// From the mapping's start to the region's: mappings start at a page of the file.
  private let skip: Int

  /// Maps a piece of a shared file.
  init(
    _ description: RegionDescription, _ descriptor: borrowing FileDescriptor
  ) throws(MemoryTableError) {
    guard description.size > 0 else { throw .table(.emptyRegion) }
    let end = description.offset.addingReportingOverflow(description.size)
    guard !end.overflow, end.partialValue <= UInt64(Int64.max),
      !description.guestAddress.addingReportingOverflow(description.size).overflow,
      !description.userAddress.addingReportingOverflow(description.size).overflow
    else { throw .wraps }
    let status: FileStatus
    do {
      status = try descriptor.status()
    } catch {
      throw .notMapped(error)
    }
    guard status.kind != .regular || end.partialValue <= status.size else {
      throw .pastEndOfFile(fileSize: status.size)
    }
    // Huge pages can be mapped from the start of one only; their size is the file's block size.
    let page = UInt64(max(status.blockSize, MemoryMapping.basePageSize))
    let skip = description.offset % page
    // Less than a page, and pages are not that large.
    self.skip = Int(skip)
    let mapping: MemoryMapping
    do {
      mapping = try MemoryMapping(
        descriptor, offset: description.offset - skip, length: Int(description.size + skip))
    } catch {
      throw .notMapped(error)
    }
    do {
      self.mapping = try SharedMapping(containingFaultsIn: mapping)
    } catch {
      throw .tooManyMappings
    }
    self.description = description
  }

  /// Whether the file has lost pages that were used since.
  var hasVanished: Bool { mapping.isPoisoned }

  /// What guest memory is made of.
  var guestRegion: MappedGuestRegion {
    MappedGuestRegion(
      mapping, guestAddress: description.guestAddress, offset: skip,
      byteCount: mapping.length - skip)
  }
}

/// The guest memory of a session.
struct MemoryTable {
  /// No memory.
  static let empty = MemoryTable()

  private(set) var regions: [MappedRegion] = []
  /// What queues work on; nil where there is no region.
  private(set) var guest: GuestMemory?

  private init() {}

  /// Checks regions against each other and makes a table of them.
  init(_ regions: [MappedRegion]) throws(MemoryTableError) {
    guard !regions.isEmpty else { return }
    do {
      guest = try GuestMemory(regions.map(\.guestRegion))
    } catch {
      throw .table(error)
    }
    self.regions = regions
  }

  /// The table with one region more.
  func adding(_ region: MappedRegion) throws(MemoryTableError) -> MemoryTable {
    try MemoryTable(regions + [region])
  }

  /// The table without a region, which guest address, user address and size name.
  func removing(_ description: RegionDescription) throws(MemoryTableError) -> MemoryTable {
    let index = regions.firstIndex { region in
      region.description.guestAddress == description.guestAddress
        && region.description.userAddress == description.userAddress
        && region.description.size == description.size
    }
    guard let index else { throw .noSuchRegion }
    var rest = regions
    rest.remove(at: index)
    return try MemoryTable(rest)
  }

  /// Whether a file has lost pages that were used since.
  var hasVanished: Bool { regions.contains { $0.hasVanished } }

  /// The guest address of one of the front-end's own.
  func guestAddress(ofUser address: UInt64) -> UInt64? {
    for region in regions {
      let offset = address &- region.description.userAddress
      // The region's own end does not wrap, so this sum does not.
      if offset < region.description.size { return region.description.guestAddress + offset }
    }
    return nil
  }

  /// A ring's place in guest-physical memory; nil where a part of it starts outside.
  func layout(_ address: VringAddress, isPacked: Bool) -> RingLayout? {
    guard let descriptors = guestAddress(ofUser: address.descriptors),
      let available = guestAddress(ofUser: address.available),
      let used = guestAddress(ofUser: address.used)
    else { return nil }
    return isPacked
      ? .packed(descriptors: descriptors, driverEvent: available, deviceEvent: used)
      : .split(descriptors: descriptors, available: available, used: used)
  }
}
