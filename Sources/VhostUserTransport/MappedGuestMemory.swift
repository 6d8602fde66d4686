// SPDX-License-Identifier: Apache-2.0
//
// MappedGuestMemory: where mapped files become guest memory. The fence file of this module: nothing
// else of it follows an address of the front-end's memory.

import VirtioRing

/// Keeps the mappings of a table.
private final class MappingOwner: Sendable {
  private let regions: [MappedRegion]

  init(_ regions: [MappedRegion]) { self.regions = regions }
}

extension GuestMemory {
  /// Guest memory of mapped regions, which it keeps mapped.
  static func mapped(_ regions: [MappedRegion]) throws(GuestMemoryError) -> GuestMemory {
    // SAFETY: each region lies in its own mapping, readable and writable, and the owner holds them all.
    // Pages that the file loses are replaced, so the addresses stay valid.
    try unsafe GuestMemory(
      regions: regions.map(\.guestRegion), owner: MappingOwner(regions))
  }
}
