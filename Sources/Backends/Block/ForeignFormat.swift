// SPDX-License-Identifier: Apache-2.0
//
// ForeignFormat: images that are no raw disks, told by the marks that they begin or end with.
//
// Served as the bytes that it has, such an image would show its guest a disk of nonsense, which a guest that
// formats it destroys. So it is refused, and nothing more: a guest can write each of these marks
// into its own raw disk, so what is found must never decide how an image is read. A user who says that the
// image is raw is believed, and nothing is looked at.
//
// What is a disk's own content in some layout, such as LUKS, a file system or a boot sector, is no other format.

import Linux

/// A format that is not raw.
struct ForeignFormat: Equatable, Sendable {
  /// What an image of it is called: `a qcow2 image`.
  let name: String
  /// Makes a raw image of it; `IN` and `OUT` stand for paths.
  private let conversion: String

  /// Says what to do with an image of this format, in one line without an end.
  ///
  /// - Parameter option: how a user says that the image is raw.
  func advice(path: String, option: String) -> String {
    var words = ""
    for word in conversion.split(separator: " ") {
      let word = word == "IN" ? path : word == "OUT" ? "\(path).raw" : String(word)
      words += words.isEmpty ? word : " \(word)"
    }
    return "it looks like \(name); make a raw image with '\(words)',"
      + " or, if a raw disk begins or ends so, say \(option)"
  }

  // MARK: Marks

  private static func qemu(_ name: String, _ format: String) -> ForeignFormat {
    ForeignFormat(name: name, conversion: "qemu-img convert -f \(format) -O raw IN OUT")
  }

  private static func compressed(_ name: String, _ command: String) -> ForeignFormat {
    ForeignFormat(name: name, conversion: "\(command) IN > OUT")
  }

  /// Bytes at the beginning, and where.
  private static let heads: [(offset: Int, mark: [UInt8], format: ForeignFormat)] = [
    (0, [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 1], qemu("a qcow image", "qcow")),
    (0, [0x51, 0x46, 0x49, 0xfb], qemu("a qcow2 image", "qcow2")),
    (0, Array("QED\0".utf8), qemu("a QED image", "qed")),
    (0, Array("KDMV".utf8), qemu("a VMDK image", "vmdk")),
    (0, Array("COWD".utf8), qemu("a VMDK image", "vmdk")),
    (0, Array("vhdxfile".utf8), qemu("a VHDX image", "vhdx")),
    (0, Array("conectix".utf8), qemu("a VHD image (vpc)", "vpc")),
    (64, [0x7f, 0x10, 0xda, 0xbe], qemu("a VDI image", "vdi")),
    (0, Array("WithoutFreeSpace".utf8), qemu("a Parallels image", "parallels")),
    (0, Array("WithouFreSpacExt".utf8), qemu("a Parallels image", "parallels")),
    (0, Array("Bochs Virtual HD Image".utf8), qemu("a Bochs image", "bochs")),
    (0, Array("#!/bin/sh\n#V2.0 Format\n".utf8), qemu("a cloop image", "cloop")),
    (
      0, [0x3a, 0xff, 0x26, 0xed],
      ForeignFormat(name: "an Android sparse image", conversion: "simg2img IN OUT")
    ),
    (0, [0x1f, 0x8b, 8], compressed("a file compressed with gzip", "gzip -dc")),
    (0, [0xfd] + Array("7zXZ\0".utf8), compressed("a file compressed with xz", "xz -dc")),
    (0, [0x28, 0xb5, 0x2f, 0xfd], compressed("a file compressed with zstd", "zstd -dc")),
    (0, [0x04, 0x22, 0x4d, 0x18], compressed("a file compressed with lz4", "lz4 -dc")),
    (0, [0x02, 0x21, 0x4c, 0x18], compressed("a file compressed with lz4", "lz4 -dc")),
    (
      0, [0x89] + Array("LZO\0\r\n\u{1a}\n".utf8),
      compressed("a file compressed with lzop", "lzop -dc")
    ),
    (0, Array("LZIP".utf8), compressed("a file compressed with lzip", "lzip -dc")),
    (0, Array("PK\u{3}\u{4}".utf8), compressed("a zip archive", "unzip -p")),
    (
      0, Array("7z".utf8) + [0xbc, 0xaf, 0x27, 0x1c], compressed("a 7z archive", "7z x -so")
    ),
  ]

  /// Where the marks of bzip2 are: behind `BZh` and a digit stands a block, or the end of nothing.
  private static let bzip2 = compressed("a file compressed with bzip2", "bzip2 -dc")
  private static let bzip2Blocks: [[UInt8]] = [
    [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90],
  ]

  /// What a VMDK's text file has among its first lines.
  private static let descriptor = Array("# Disk DescriptorFile".utf8)

  /// How many bytes of the beginning are looked at.
  static let headByteCount = 4096
  /// How many of the end: a footer.
  static let footByteCount = 512

  /// Looks at the beginning and the end of an image.
  ///
  /// - Parameters:
  ///   - head: its first bytes, `headByteCount` of them where it has so many.
  ///   - foot: its last, `footByteCount` of them where it has so many.
  /// - Returns: nil where nothing is recognised.
  static func find(head: [UInt8], foot: [UInt8]) -> ForeignFormat? {
    for (offset, mark, format) in heads where head.dropFirst(offset).starts(with: mark) {
      return format
    }
    if head.starts(with: Array("BZh".utf8)), let digit = head.dropFirst(3).first,
      (0x31...0x39).contains(digit),
      bzip2Blocks.contains(where: { head.dropFirst(4).starts(with: $0) })
    {
      return bzip2
    }
    // Comments and empty lines may stand before it, and nothing but text.
    let text = head.prefix(512).prefix { $0 != 0 }
    if text.allSatisfy({ $0 < 0x80 }), text.first == descriptor[0], contains(text, descriptor) {
      return qemu("a VMDK image", "vmdk")
    }
    // A VHD of a fixed size has nothing but a footer, which some old programs made a byte shorter.
    if [foot[...], foot.dropFirst()].contains(where: { $0.starts(with: Array("conectix".utf8)) }) {
      return qemu("a VHD image (vpc)", "vpc")
    }
    if foot.starts(with: Array("koly".utf8)) { return qemu("a DMG image", "dmg") }
    return nil
  }

  private static func contains(_ text: ArraySlice<UInt8>, _ words: [UInt8]) -> Bool {
    text.indices.contains { text[$0...].starts(with: words) }
  }

  /// Looks at an open image.
  ///
  /// - Parameter byteCount: its size.
  static func find(
    in file: borrowing FileDescriptor, byteCount: UInt64
  ) throws(Errno) -> ForeignFormat? {
    let head = try read(file, headByteCount, at: 0)
    let start = byteCount - min(byteCount, UInt64(footByteCount))
    return find(head: head, foot: try read(file, footByteCount, at: start))
  }

  private static func read(
    _ file: borrowing FileDescriptor, _ count: Int, at offset: UInt64
  ) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let done = try file.read(into: &bytes, at: offset)
    return Array(bytes[..<done])
  }
}
