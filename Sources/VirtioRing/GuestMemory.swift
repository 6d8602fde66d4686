// SPDX-License-Identifier: Apache-2.0
//
// GuestMemory: what the driver calls memory, and where it is here.
//
// A table of regions, each a range of guest-physical addresses that is mapped contiguously in this
// process. It never changes: hot-plug makes another table. A value holds a reference to its owner,
// and the owner keeps the table and the mappings alive, so whoever holds a GuestMemory may follow what it
// translates. Queues hold one; a request in flight therefore keeps the table that it started with.

/// A range of guest-physical addresses and the host mapping behind it.
public struct GuestRegion: Sendable, Equatable {
  /// Where the driver sees it.
  public let guestAddress: UInt64
  /// In bytes.
  public let byteCount: UInt64
  /// Where it is mapped in this process.
  public let hostAddress: UInt

  /// Describes a region; `GuestMemory` checks it.
  public init(guestAddress: UInt64, byteCount: UInt64, hostAddress: UInt) {
    self.guestAddress = guestAddress
    self.byteCount = byteCount
    self.hostAddress = hostAddress
  }
}

/// An immutable table of guest memory regions.
public struct GuestMemory: Sendable {
  /// The most regions a table may have (vhost-user's limit for memory slots).
  public static let maximumRegionCount = 509

  let table: RegionTable
  private let owner: any AnyObject & Sendable

  init(table: RegionTable, owner: any AnyObject & Sendable) {
    self.table = table
    self.owner = owner
  }

  /// How many regions there are.
  public var regionCount: Int { table.count }

  /// The regions, ordered by guest address. - Precondition: `index` is in `0..<regionCount`.
  public subscript(index: Int) -> GuestRegion { table[index] }

  /// Where a range lies in this process, if one region holds all of it.
  ///
  /// - Returns: nil where it does not. A range of no bytes lies where its first byte would.
  public func hostAddress(of guestAddress: UInt64, byteCount: UInt64) -> UInt? {
    guard let region = table.region(holding: guestAddress) else { return nil }
    let offset = guestAddress &- region.guestAddress
    guard byteCount <= region.byteCount &- offset else { return nil }
    return region.hostAddress &+ UInt(offset)
  }

  /// The guest-physical address of a host address, or nil where no region holds it.
  public func guestAddress(ofHost address: UInt) -> UInt64? {
    table.region(holdingHost: address).map {
      $0.guestAddress &+ UInt64(address &- $0.hostAddress)
    }
  }
}
