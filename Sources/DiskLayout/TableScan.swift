// SPDX-License-Identifier: Apache-2.0
//
// TableScan: decides which partition table counts, and makes partitions of its entries.

/// One reading of an image's tables.
struct TableScan {
  let image: BoundedImage
  /// What the caller knows of the sector size.
  let knownSectorSize: Int?
  /// Whether a GPT that Linux does not see is used.
  let usesLostGPT: Bool
  /// What the whole disk has besides.
  let wholeDisk: [DiskFileSystem]
  var layout: DiskLayout
  /// How many logical partitions have a number.
  var logicalCount = 0

  init(
    _ image: BoundedImage, sectorSize: Int?, usesLostGPT: Bool, wholeDisk: [DiskFileSystem]
  ) {
    self.image = image
    self.usesLostGPT = usesLostGPT
    knownSectorSize = sectorSize == 512 || sectorSize == 4096 ? sectorSize : nil
    self.wholeDisk = wholeDisk
    layout = DiskLayout(byteCount: image.byteCount)
    layout.sectorSize = knownSectorSize ?? 512
  }

  /// Sector sizes in the order in which a GPT is looked for.
  private var sectorSizes: [Int] { knownSectorSize == 4096 ? [4096, 512] : [512, 4096] }

  mutating func run() {
    let mbr = MBR(image.bytes(at: 0, count: 512))
    if let mbr, mbr.isProtective {
      readProtected(mbr)
    } else if let mbr, mbr.namesGPT, mbr.hasValidFlags {
      readMisplaced()
    } else if let mbr, isTable(mbr) {
      if case .good = primaryGPT {
        image.warn("there is a GPT, but the MBR is not for one: the MBR is used")
      }
      use(mbr)
    } else {
      readUnprotected(mbr)
    }
    layout.partitions.sort { $0.number < $1.number }
    warnOfOverlaps()
  }

  /// Whether a boot record is a partition table, and not a file system's boot sector.
  private func isTable(_ mbr: MBR) -> Bool {
    guard mbr.hasValidFlags, !mbr.entries.isEmpty else { return false }
    guard wholeDisk.contains(where: { [.vfat, .ntfs, .exfat].contains($0.kind) }) else {
      return true
    }
    // Their boot sectors end in 55 AA themselves. Some have a table in them that shows the file system
    // as a partition which begins at sector 0.
    return mbr.entries.allSatisfy {
      $0.start > 0 && $0.start < image.byteCount / UInt64(layout.sectorSize)
    }
  }

  // MARK: Which one counts

  /// The disk has a GPT, or had one.
  private mutating func readProtected(_ mbr: MBR) {
    let others = mbr.entries.filter { $0.type != .mbr(0xee) }
    if let gpt = findGPT(canBeAnywhere: true) {
      if !others.isEmpty {
        image.warn("the MBR lists partitions beside the GPT's (hybrid): the GPT is used")
      }
      use(gpt)
    } else if others.isEmpty {
      image.warn("there should be a GPT, but neither header can be used: no partition is known")
    } else {
      image.warn("there should be a GPT, but neither header can be used: the MBR is used")
      use(mbr)
    }
  }

  /// There is an entry for a GPT that does not begin where it should: Linux then uses neither table.
  private mutating func readMisplaced() {
    image.warn("the MBR's entry for a GPT does not begin at sector 1, so Linux sees no partition")
    if usesLostGPT, let gpt = findGPT(canBeAnywhere: true) { use(gpt) }
  }

  /// The disk has no table that Linux would look at: a file system, a GPT whose MBR is lost, or nothing.
  private mutating func readUnprotected(_ mbr: MBR?) {
    if wholeDisk.isEmpty || usesLostGPT {
      if let gpt = findGPT(canBeAnywhere: usesLostGPT) {
        image.warn("there is no protective MBR, without which Linux does not see the GPT")
        use(gpt)
        return
      }
      warnOfLostGPT()
      if let mbr, mbr.hasValidFlags {
        // A table without partitions.
        use(mbr)
      } else if mbr != nil {
        image.warn("sector 0 ends like an MBR, but its boot flags are none: it is not used")
      }
    } else if case .good = primaryGPT {
      image.warn("there is a GPT without a protective MBR: the file system on the disk is used")
    } else {
      warnOfLostGPT()
    }
  }

  /// Says that a disk whose first sectors are somebody else's has a GPT's backup in its last ones.
  private func warnOfLostGPT() {
    guard !usesLostGPT else { return }
    for size in sectorSizes {
      let count = image.byteCount / UInt64(size)
      guard count > 2, case .good = GPT.look(in: image, at: count - 1, sectorSize: size) else {
        continue
      }
      image.warn(
        "the last sector has the backup of a GPT, of which the first has nothing: it is not used")
      return
    }
  }

  private var primaryGPT: GPT.Outcome {
    GPT.look(in: image, at: 1, sectorSize: layout.sectorSize)
  }

  /// Finds a header that can be used, the first one or the other.
  ///
  /// - Parameter canBeAnywhere: whether the other one is looked for where the first is not there at all.
  private func findGPT(canBeAnywhere: Bool) -> GPT? {
    var trouble: String?
    for size in sectorSizes {
      let other: UInt64?
      switch GPT.look(in: image, at: 1, sectorSize: size) {
      case .good(let gpt):
        checkOther(of: gpt)
        return gpt
      case .broken(let why, let sector):
        trouble = trouble ?? why
        other = sector
      case .absent: other = nil
      }
      guard canBeAnywhere || other != nil else { continue }
      let last = image.byteCount / UInt64(size)
      let candidates = [last > 0 ? last - 1 : 0, other ?? 0].filter { $0 > 1 }
      for candidate in candidates {
        guard case .good(let gpt) = GPT.look(in: image, at: candidate, sectorSize: size)
        else { continue }
        image.warn("the GPT's backup is used: \(trouble ?? "its first header is missing")")
        return gpt
      }
    }
    if let trouble { image.warn("the GPT cannot be used: \(trouble)") }
    return nil
  }

  /// Looks whether the backup of a header that is good is good too.
  private func checkOther(of gpt: GPT) {
    switch GPT.look(in: image, at: gpt.otherSector, sectorSize: gpt.sectorSize) {
    case .good(let other) where other.entriesChecksum == gpt.entriesChecksum: break
    case .good: image.warn("the GPT's backup has other partitions: it is not used")
    case .absent: image.warn("the GPT's backup is missing")
    case .broken(let why, _): image.warn("the GPT's backup is broken: \(why)")
    }
  }

  // MARK: Partitions

  /// Adds a partition, or a warning where there is nothing of it inside the image.
  ///
  /// - Parameters:
  ///   - start: its first sector.
  ///   - end: the sector after its last.
  mutating func add(_ partition: Partition, start: UInt64, end: UInt64) {
    let name = "partition \(partition.number)"
    guard start < end else {
      image.warn("\(name) ends before it begins: it is left out")
      return
    }
    guard let first = byteOffset(start, layout.sectorSize), first < image.byteCount else {
      image.warn("\(name) begins past the end of the image: it is left out")
      return
    }
    let last = byteOffset(end, layout.sectorSize) ?? .max
    if last > image.byteCount {
      image.warn("\(name) ends past the end of the image: it is cut there")
    }
    var partition = partition
    partition.start = first
    partition.byteCount = min(last, image.byteCount) - first
    layout.partitions.append(partition)
  }

  private mutating func use(_ gpt: GPT) {
    layout.table = .gpt
    layout.sectorSize = gpt.sectorSize
    layout.diskID = gpt.diskGUID.isZero ? nil : gpt.diskGUID.description
    for index in 0..<min(gpt.entryCount, DiskLayout.entryLimit) {
      let entry = Bytes(gpt.entries.part(index * gpt.entrySize, 128))
      let type = entry.guid(0)
      guard !type.isZero else { continue }
      let start: UInt64 = entry.little(32)
      let last: UInt64 = entry.little(40)
      var partition = Partition(number: index + 1, type: .guid(type))
      let name = entry.text16(56, 36)
      partition.name = name.isEmpty ? nil : name
      partition.uuid = entry.guid(16).isZero ? nil : entry.guid(16).description
      partition.attributes = entry.little(48)
      partition.isBootable = partition.attributes & 4 != 0
      if !gpt.usable.contains(start) || !gpt.usable.contains(last) {
        image.warn("partition \(index + 1) is not inside the GPT's sectors for partitions")
      }
      add(partition, start: start, end: last == .max ? .max : last + 1)
    }
    if gpt.entryCount > DiskLayout.entryLimit {
      image.warn(
        "the GPT has \(gpt.entryCount) entries: the first \(DiskLayout.entryLimit) are used")
    }
  }

  private mutating func use(_ mbr: MBR) {
    layout.table = .mbr
    layout.diskID = mbr.signature == 0 ? nil : "0x" + hexadecimal(mbr.signature, digits: 8)
    for entry in mbr.entries where entry.type != .mbr(0xee) {
      add(entry, number: entry.place, start: entry.start, signature: mbr.signature)
    }
    for entry in mbr.entries where entry.type.isExtended {
      var chain = ExtendedChain(extended: entry, signature: mbr.signature)
      chain.follow(&self)
    }
  }

  /// Adds an entry of an MBR.
  mutating func add(_ entry: MBR.Entry, number: Int, start: UInt64, signature: UInt32) {
    var partition = Partition(number: number, type: entry.type)
    partition.isBootable = entry.isBootable
    partition.isExtended = entry.type.isExtended && number <= 4
    if signature != 0 {
      partition.uuid =
        hexadecimal(signature, digits: 8) + "-" + hexadecimal(number, digits: 2)
    }
    // Both come from 32 bits, or are sums of three such numbers.
    add(partition, start: start, end: start + entry.count)
  }

  /// Tells of partitions that share sectors. A container shares them with what is in it.
  private func warnOfOverlaps() {
    let sorted = layout.partitions.filter { !$0.isExtended }.sorted { $0.start < $1.start }
    var widest: Partition?
    for partition in sorted {
      if let widest, partition.start < widest.end {
        let numbers = [widest.number, partition.number].sorted()
        image.warn("partitions \(numbers[0]) and \(numbers[1]) overlap")
      }
      if widest.map({ $0.end < partition.end }) ?? true { widest = partition }
    }
  }
}

extension Partition {
  fileprivate init(number: Int, type: PartitionType) {
    self.number = number
    self.type = type
    start = 0
    byteCount = 0
  }

  /// The byte after its last.
  var end: UInt64 { start + byteCount }
}
