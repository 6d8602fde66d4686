// SPDX-License-Identifier: Apache-2.0
//
// What a layout leaves in doubt, as warnings: whether its sectors have another size, and which of two partitions
// is meant by a name.

extension DiskLayout {
  /// Tells where an MBR makes sense with sectors of the other size only.
  func warnOfOtherSectorSize(
    _ reader: some ImageReader, _ image: BoundedImage, isKnown: Bool
  ) {
    guard table == .mbr, !partitions.isEmpty,
      partitions.allSatisfy({ $0.fileSystem == nil })
    else { return }
    let size = sectorSize == 512 ? 4096 : 512
    let other = BoundedImage(reader)
    var scan = TableScan(other, sectorSize: size, usesLostGPT: false, wholeDisk: [])
    scan.run()
    let makesSense = scan.layout.partitions.prefix(8).contains {
      !$0.isExtended
        && !DiskFileSystem.find(in: other, at: $0.start, byteCount: $0.byteCount).isEmpty
    }
    guard makesSense else { return }
    image.warn(
      "there are file systems where the MBR says with sectors of \(size) bytes, and none with \(sectorSize)"
        + (isKnown ? "" : ": the disk's sectors may be that large"))
  }

  /// Tells of labels and identifiers that two partitions have: links lead to the first.
  func warnOfTwins(_ image: BoundedImage) {
    for (what, names) in [("label", names(\.label)), ("UUID", names(\.uuid))] {
      warnOfTwins(what, names, image)
    }
    warnOfTwins(
      "name", partitions.compactMap { part in part.name.map { ($0, part.fileName) } }, image)
    warnOfTwins(
      "PARTUUID", partitions.compactMap { part in part.uuid.map { ($0, part.fileName) } }, image)
  }

  private func names(_ name: (DiskFileSystem) -> String?) -> [(String, String)] {
    let all = [("disk", fileSystem)] + partitions.map { ($0.fileName, $0.fileSystem) }
    return all.compactMap { file, fileSystem in fileSystem.flatMap(name).map { ($0, file) } }
  }

  private func warnOfTwins(
    _ what: String, _ names: [(name: String, file: String)], _ image: BoundedImage
  ) {
    var first: [String: String] = [:]
    for (name, file) in names {
      if let other = first[name] {
        image.warn("\(other) and \(file) have the same \(what), \(name)")
      } else {
        first[name] = file
      }
    }
  }
}
