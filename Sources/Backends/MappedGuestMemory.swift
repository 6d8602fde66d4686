// SPDX-License-Identifier: Apache-2.0
//
// MappedGuestMemory: how mappings become guest memory without a promise from whoever asks. A fence file:
// what `GuestMemory` wants to be promised is kept here.

public import Linux
public import VirtioRing

/// A piece of a mapping, and where the driver sees it.
public struct MappedGuestRegion: Sendable {
  /// What it is a piece of. Guest memory that is made of it keeps it.
  public let mapping: SharedMapping
  /// Where the driver sees it.
  public let guestAddress: UInt64
  /// Where it starts in the mapping, in bytes.
  public let offset: Int
  /// In bytes.
  public let byteCount: Int

  /// Describes a piece of a mapping; all of it, where nothing else is said.
  ///
  /// - Precondition: the piece lies in the mapping, which can be read and written.
  public init(
    _ mapping: SharedMapping, guestAddress: UInt64, offset: Int = 0, byteCount: Int? = nil
  ) {
    precondition(mapping.protection == .readWrite, "guest memory is read and written")
    precondition(offset >= 0 && offset <= mapping.length, "outside the mapping")
    let byteCount = byteCount ?? mapping.length - offset
    precondition(byteCount >= 0 && byteCount <= mapping.length - offset, "outside the mapping")
    self.mapping = mapping
    self.guestAddress = guestAddress
    self.offset = offset
    self.byteCount = byteCount
  }
}

/// Keeps the mappings of a table.
private final class MappingOwner: Sendable {
  private let regions: [MappedGuestRegion]

  init(_ regions: [MappedGuestRegion]) { self.regions = regions }
}

extension GuestMemory {
  /// Guest memory of mapped regions, which it keeps mapped.
  ///
  /// Where others can cut the mapped file off, the mapping should contain the faults
  /// (`SharedMapping.init(containingFaultsIn:)`); else SIGBUS ends the process.
  ///
  /// - Parameter regions: in any order.
  /// - Throws: `badRegionCount`, `emptyRegion`, `regionWraps` or `regionsOverlap`, for guest addresses.
  public init(_ regions: [MappedGuestRegion]) throws(GuestMemoryError) {
    let table = regions.map {
      GuestRegion(
        guestAddress: $0.guestAddress, byteCount: UInt64($0.byteCount),
        hostAddress: $0.mapping.address + UInt($0.offset))
    }
    // SAFETY: each region lies in its own mapping, readable and writable, which was compared when it was
    // described; and the owner holds them all. Pages that a file loses raise SIGBUS or are replaced.
    try unsafe self.init(regions: table, owner: MappingOwner(regions))
  }
}
