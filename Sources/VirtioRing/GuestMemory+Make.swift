// SPDX-License-Identifier: Apache-2.0
//
// Making a GuestMemory: the checks that the translation relies on, and the owner of the table.
// Apart from GuestMemory.swift since this part allocates, and the ring's core is proved not to.

/// Why a table of regions was refused.
public enum GuestMemoryError: Error, Sendable, Equatable {
  /// No region, or more than `GuestMemory.maximumRegionCount`.
  case badRegionCount
  /// A region of no bytes.
  case emptyRegion
  /// A region that passes the end of the guest's or of the host's address space.
  case regionWraps
  /// Two regions share a guest address.
  case regionsOverlap
}

extension GuestMemoryError: CustomStringConvertible {
  /// One line, lower case, no full stop.
  public var description: String {
    switch self {
    case .badRegionCount: "no memory region, or more than \(GuestMemory.maximumRegionCount)"
    case .emptyRegion: "memory region of size 0"
    case .regionWraps: "memory region passes the end of the address space"
    case .regionsOverlap: "memory regions overlap"
    }
  }
}

extension GuestMemory {
  /// Checks and sorts the regions and makes a table of them.
  ///
  /// - Parameters:
  ///   - regions: in any order.
  ///   - owner: keeps every region's mapping alive until it is released.
  /// - Safety: the host addresses must be mapped, readable and writable, for as long as `owner` lives.
  @unsafe
  public init(
    regions: [GuestRegion], owner: any AnyObject & Sendable
  ) throws(GuestMemoryError) {
    guard !regions.isEmpty, regions.count <= Self.maximumRegionCount else {
      throw .badRegionCount
    }
    let sorted = regions.sorted { $0.guestAddress < $1.guestAddress }
    var end: UInt64 = 0
    for (index, region) in sorted.enumerated() {
      guard region.byteCount > 0 else { throw .emptyRegion }
      let guest = region.guestAddress.addingReportingOverflow(region.byteCount)
      let host = UInt64(region.hostAddress).addingReportingOverflow(region.byteCount)
      guard !guest.overflow, !host.overflow, region.hostAddress != 0,
        region.byteCount <= UInt64(Int.max)
      else { throw .regionWraps }
      guard index == 0 || region.guestAddress >= end else { throw .regionsOverlap }
      end = guest.partialValue
    }
    let storage = RegionStorage(sorted, mappings: owner)
    self.init(table: storage.table, owner: storage)
  }
}
