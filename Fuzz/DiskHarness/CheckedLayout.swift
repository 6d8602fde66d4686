// SPDX-License-Identifier: Apache-2.0
//
// What must hold of a layout, whatever is on the image.

public import DiskLayout

/// Reads an image's layout, and traps where something is wrong with it that no image may lead to.
@discardableResult
public func checkedLayout(
  _ image: SparseImage, sectorSize: Int? = nil, usesLostGPT: Bool = false
) -> DiskLayout {
  let reader = CheckedReader(image)
  let layout = DiskLayout.read(from: reader, sectorSize: sectorSize, usesLostGPT: usesLostGPT)
  precondition(layout.byteCount == image.byteCount)
  precondition(layout.sectorSize == 512 || layout.sectorSize == 4096)
  precondition(layout.partitions.count <= DiskLayout.entryLimit)
  // Tables and chains, then per partition heads, superblocks and directories.
  precondition(reader.requestCount < 1000 + 220 * (layout.partitions.count + 1))
  precondition(reader.readByteCount < UInt64(8 + layout.partitions.count) << 20)

  var last = 0
  for partition in layout.partitions {
    precondition(partition.number > last, "numbers do not ascend")
    last = partition.number
    precondition(partition.byteCount > 0)
    precondition(partition.start < image.byteCount)
    precondition(partition.byteCount <= image.byteCount - partition.start)
    precondition(partition.name != "")
    precondition(partition.fileSystem == nil || !partition.isExtended)
    if let fileSystem = partition.fileSystem { check(fileSystem) }
  }
  precondition(layout.table != .none || layout.partitions.isEmpty)
  if let fileSystem = layout.fileSystem { check(fileSystem) }

  precondition(layout.warnings.count <= DiskLayout.warningLimit)
  for warning in layout.warnings { precondition(isPlain(warning), "a control character") }
  for link in layout.labelLinks + layout.uuidLinks + layout.partitionLabelLinks
    + layout.partitionUUIDLinks
  {
    precondition((1...255).contains(link.name.utf8.count))
    precondition(isPlain(link.name) && !link.name.contains("/"))
    precondition(link.name != "." && link.name != "..")
  }
  for line in layout.json.text.split(separator: "\n") { precondition(isPlain(line)) }
  return layout
}

private func check(_ fileSystem: DiskFileSystem) {
  precondition(fileSystem.labelBytes.count <= 1536)
  precondition(!fileSystem.labelBytes.contains(0))
  precondition(fileSystem.uuid.map { isPlain($0) && !$0.isEmpty && $0.utf8.count <= 128 } ?? true)
}

private func isPlain(_ text: some StringProtocol) -> Bool {
  text.unicodeScalars.allSatisfy {
    $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) && !(0x202a...0x202e).contains($0.value)
  }
}
