// SPDX-License-Identifier: Apache-2.0
//
// ExtendedChain: the logical partitions in an MBR's extended partition.
//
// Each link of the chain is a boot record with an entry for a logical partition, relative to the link, and
// one for the next link, relative to the extended partition. A chain may loop, be endless or lead anywhere;
// it is followed as Linux does it (block/partitions/msdos.c), but never twice to one sector, and for a
// limited number of links.

/// One chain and how far it was followed.
struct ExtendedChain {
  private let extended: MBR.Entry
  private let signature: UInt32
  private var visited: Set<UInt64> = []

  init(extended: MBR.Entry, signature: UInt32) {
    self.extended = extended
    self.signature = signature
  }

  /// Follows it to its end and adds the partitions, numbered after those that are there.
  mutating func follow(_ scan: inout TableScan) {
    let image = scan.image
    var sector = extended.start
    var count = extended.count
    while true {
      guard visited.insert(sector).inserted else {
        image.warn("the chain of logical partitions runs in a circle: it is left there")
        return
      }
      guard visited.count <= DiskLayout.logicalLimit else {
        image.warn(
          "the chain of logical partitions has more than \(DiskLayout.logicalLimit) links: "
            + "the rest is left out")
        return
      }
      guard let offset = byteOffset(sector, scan.layout.sectorSize),
        let record = MBR(image.bytes(at: offset, count: 512))
      else {
        image.warn("the chain of logical partitions breaks off at sector \(sector)")
        return
      }
      for entry in record.entries where !entry.type.isExtended {
        guard isBelievable(entry, link: sector, linkCount: count) else { continue }
        let number = 5 + scan.logicalCount
        guard scan.logicalCount < DiskLayout.logicalLimit else {
          image.warn(
            "there are more than \(DiskLayout.logicalLimit) logical partitions: "
              + "the rest is left out")
          return
        }
        scan.logicalCount += 1
        if sector + entry.start + entry.count > extended.start + extended.count {
          image.warn("partition \(number) is not inside the extended partition")
        }
        scan.add(entry, number: number, start: sector + entry.start, signature: signature)
      }
      guard let next = record.entries.first(where: { $0.type.isExtended }) else { return }
      sector = extended.start + next.start
      count = next.count
    }
  }

  /// The third and fourth entry are never used, and hold garbage on some disks: Linux takes them only where
  /// they make sense.
  private func isBelievable(_ entry: MBR.Entry, link: UInt64, linkCount: UInt64) -> Bool {
    if entry.place <= 2 { return true }
    let start = link + entry.start
    return entry.start + entry.count <= linkCount && start >= extended.start
      && start + entry.count <= extended.start + extended.count
  }
}
