// SPDX-License-Identifier: Apache-2.0
//
// MBR: the four entries of a boot record, of a disk or of an extended partition.
//
// Everything that boots ends its first sector in 55 AA, file systems too, so that proves nothing. Like Linux
// we believe in a table whose boot flags are all 0 or 0x80. Like Linux we number each entry that has a size, whatever
// its type: 0 too.

/// A boot record with the entries of a partition table.
struct MBR {
  /// An entry that is in use; numbers are in sectors.
  struct Entry {
    /// Its place, 1 to 4.
    let place: Int
    let isBootable: Bool
    let type: PartitionType
    let start: UInt64
    let count: UInt64
  }

  /// The disk's signature; 0 is none.
  let signature: UInt32
  /// The entries that are in use: those with a size.
  let entries: [Entry]
  /// Whether all boot flags are 0 or 0x80.
  let hasValidFlags: Bool

  /// Whether an entry says that a GPT is what counts, and where Linux looks for that: it begins at sector 1. Its size
  /// is whatever somebody has written.
  let isProtective: Bool
  /// Whether an entry has the type of one that protects a GPT, wherever it begins.
  let namesGPT: Bool

  /// Takes a sector apart; nil where it does not end in 55 AA.
  init?(_ sector: Bytes) {
    guard sector.has([0x55, 0xaa], at: 510) else { return nil }
    signature = sector.little(440)
    var entries: [Entry] = []
    var (hasValidFlags, isProtective, namesGPT) = (true, false, false)
    for place in 1...4 {
      let offset = 446 + (place - 1) * 16
      let flag = sector[offset]
      hasValidFlags = hasValidFlags && flag & 0x7f == 0
      let count: UInt32 = sector.little(offset + 12)
      let start: UInt32 = sector.little(offset + 8)
      let isForGPT = sector[offset + 4] == 0xee
      namesGPT = namesGPT || isForGPT
      isProtective = isProtective || isForGPT && start == 1
      guard count > 0 else { continue }
      entries.append(
        Entry(
          place: place, isBootable: flag == 0x80, type: .mbr(sector[offset + 4]),
          start: UInt64(start), count: UInt64(count)))
    }
    self.entries = entries
    self.hasValidFlags = hasValidFlags
    self.isProtective = isProtective
    self.namesGPT = namesGPT
  }
}
