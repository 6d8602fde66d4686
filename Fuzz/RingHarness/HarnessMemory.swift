// SPDX-License-Identifier: Apache-2.0
//
// What of the harness needs pointers: the segments of a chain as numbers, and memory tables made of
// regions of other tables. Its fence file.

public import VirtioRing
import VirtioTesting

/// A segment of a chain: device-readable ones first.
func segment(_ index: Int, of chain: borrowing Chain) -> IOVector {
  let readable = chain.readableCount
  precondition(index >= 0 && index < readable + chain.writableCount)
  // SAFETY: compared just above; the numbers are copied out.
  return index < readable
    ? unsafe chain.readableSegments[index] : unsafe chain.writableSegments[index - readable]
}

/// All segments of a chain: device-readable ones first.
public func segments(of chain: borrowing Chain) -> [IOVector] {
  var all: [IOVector] = []
  for index in 0..<chain.readableCount + chain.writableCount {
    all.append(segment(index, of: chain))
  }
  return all
}

/// The same memory in another table: one region is cut in two, so that every look-up differs.
func recut(_ memory: TestMemory, region cut: Int) -> GuestMemory? {
  let table = memory.guestMemory
  var regions: [GuestRegion] = []
  for index in 0..<table.regionCount {
    let region = table[index]
    let half = region.byteCount / 2
    guard index == cut, half > 0 else {
      regions.append(region)
      continue
    }
    regions.append(
      GuestRegion(
        guestAddress: region.guestAddress, byteCount: half, hostAddress: region.hostAddress))
    regions.append(
      GuestRegion(
        guestAddress: region.guestAddress + half, byteCount: region.byteCount - half,
        hostAddress: region.hostAddress + UInt(half)))
  }
  // SAFETY: parts of regions that `memory` owns; it is the new table's owner.
  return unsafe try? GuestMemory(regions: regions, owner: memory)
}
