// SPDX-License-Identifier: Apache-2.0
//
// SharedGuestMemory: guest memory in memory files, which a back-end maps as well. The fence file of this
// module.

import Linux
public import VhostUserTransport
import VirtioRing
public import VirtioTesting

/// A piece of guest memory and the file that it is made of.
final class SharedRegion: Sendable {
  let file: FileDescriptor
  let mapping: SharedMapping
  let description: RegionDescription

  /// - Parameter userOffset: from the guest's addresses to those that the back-end is told.
  init(_ range: Range<UInt64>, userOffset: UInt64) throws(Errno) {
    let size = range.upperBound - range.lowerBound
    file = try Memfd.create(name: "guest-memory", size: size)
    // Contained, since tests truncate the file.
    mapping = try SharedMapping(
      containingFaultsIn: MemoryMapping(file, length: Int(size)))
    description = RegionDescription(
      guestAddress: range.lowerBound, size: size,
      userAddress: range.lowerBound &+ userOffset, offset: 0)
  }
}

/// Keeps the mappings of a front-end's memory.
private final class SharedRegions: Sendable {
  let regions: [SharedRegion]

  init(_ regions: [SharedRegion]) { self.regions = regions }
}

/// Guest memory that a front-end shares with its back-end.
public final class SharedGuestMemory: Sendable {
  /// The front-end's addresses for its memory, less the guest's: any number will do, and one that is
  /// not 0 shows whether the back-end tells the two sorts apart.
  public static let userOffset: UInt64 = 0x5555_0000_0000

  /// The memory, for drivers.
  public let memory: TestMemory
  /// The regions, as they are told to a back-end.
  public let descriptions: [RegionDescription]
  private let regions: [SharedRegion]

  /// Makes zeroed memory of the given ranges of guest-physical addresses.
  public init(_ ranges: [Range<UInt64>]) throws(FrontEndError) {
    do {
      var regions: [SharedRegion] = []
      for range in ranges {
        regions.append(try SharedRegion(range, userOffset: Self.userOffset))
      }
      self.regions = regions
      descriptions = regions.map(\.description)
    } catch {
      throw .system(error)
    }
    let guest = regions.map {
      GuestRegion(
        guestAddress: $0.description.guestAddress, byteCount: $0.description.size,
        hostAddress: $0.mapping.address)
    }
    do {
      // SAFETY: each region is a mapping of its size, which the owner keeps.
      memory = try unsafe TestMemory(regions: guest, owner: SharedRegions(regions))
    } catch {
      throw .system(.invalidArgument)
    }
  }

  /// The numbers of the regions' files, to be sent along with `descriptions`.
  public var descriptors: [Int32] { regions.map { $0.file.raw } }

  /// Cuts a region's file off under everybody who has it mapped.
  public func truncate(region: Int, to size: UInt64) throws(FrontEndError) {
    do {
      try regions[region].file.truncate(to: size)
    } catch {
      throw .system(error)
    }
  }

  /// A guest address in the front-end's own terms.
  public static func userAddress(of guestAddress: UInt64) -> UInt64 {
    guestAddress &+ userOffset
  }
}
