// SPDX-License-Identifier: Apache-2.0
//
// DiskKinds: a disk of each kind that Debian 12's tools make, as the sectors of it that are not zero, so that one can
// be laid over another.
//
// What needs a driver of the kernel to be made (md, LVM, ZFS) is written here, from its documentation; blkid(8) has to
// recognise it.

import DiskLayout
import Foundation
import Linux

/// The sectors of a disk that are not zero.
struct DiskContent: Sendable {
  /// All disks have one size, since some kinds have their marks at the end.
  static let byteCount: UInt64 = 272 << 20
  private(set) var pieces: [UInt64: [UInt8]] = [:]
  private static let pieceSize: UInt64 = 4096

  init(_ image: ImageFile) throws {
    // The file system knows where there is nothing (lseek(2)).
    let (data, hole): (Int32, Int32) = (3, 4)
    let file = try FileDescriptor.open(image.path, .readOnly)
    var position: off_t = 0
    while case let start = lseek(file.raw, position, data), start >= 0 {
      position = lseek(file.raw, start, hole)
      let first = UInt64(start) / Self.pieceSize * Self.pieceSize
      for offset in stride(from: first, to: UInt64(position), by: 65536) {
        let bytes = try image.read(at: offset, count: 65536)
        for at in stride(from: 0, to: bytes.count, by: Int(Self.pieceSize)) {
          let piece = bytes[at..<min(at + Int(Self.pieceSize), bytes.count)]
          if piece.contains(where: { $0 != 0 }) { pieces[offset + UInt64(at)] = Array(piece) }
        }
      }
    }
  }

  init(_ bytes: [(UInt64, [UInt8])]) {
    for (offset, bytes) in bytes { write(bytes, at: offset) }
  }

  mutating func write(_ bytes: [UInt8], at offset: UInt64) {
    for (index, byte) in bytes.enumerated() {
      let place = offset + UInt64(index)
      let piece = place / Self.pieceSize * Self.pieceSize
      pieces[piece, default: Array(repeating: 0, count: Int(Self.pieceSize))][Int(place - piece)] =
        byte
    }
  }

  /// This one as it is left where another was made over it, by a tool that leaves alone what it does not need.
  func under(_ other: DiskContent) -> DiskContent {
    var both = self
    for (offset, piece) in other.pieces {
      guard let old = pieces[offset] else {
        both.pieces[offset] = piece
        continue
      }
      // By sectors.
      var new = old
      for sector in stride(from: 0, to: min(piece.count, old.count), by: 512) {
        let part = piece[sector..<sector + 512]
        if part.contains(where: { $0 != 0 }) {
          new.replaceSubrange(sector..<sector + 512, with: part)
        }
      }
      both.pieces[offset] = new
    }
    return both
  }

  func image() throws -> ImageFile {
    let image = try ImageFile(byteCount: Self.byteCount)
    for (offset, piece) in pieces { try image.write(piece, at: offset) }
    return image
  }
}

/// A kind of disk, and how it is made.
struct DiskKind: Sendable {
  let name: String
  let content: DiskContent

  private static func made(_ name: String, _ line: String) throws -> DiskKind {
    let image = try ImageFile(byteCount: DiskContent.byteCount)
    let words = line.split(separator: " ").map(String.init)
    try tool(words[0], words.dropFirst().map { $0 == "DISK" ? image.path : $0 }, input: "key")
    return DiskKind(name: name, content: try DiskContent(image))
  }

  /// A file that a tool makes of a folder, on a disk.
  private static func packed(_ name: String, _ line: String) throws -> DiskKind {
    let image = try ImageFile(byteCount: DiskContent.byteCount)
    let folder = image.path + ".folder"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    try "content\n".write(toFile: folder + "/file", atomically: false, encoding: .utf8)
    let words = line.split(separator: " ").map(String.init)
    let output = image.path + ".packed"
    try tool(
      words[0], words.dropFirst().map { $0 == "DISK" ? output : $0 == "FOLDER" ? folder : $0 })
    let bytes = try Data(contentsOf: URL(filePath: output))
    try image.write(Array(bytes), at: 0)
    return DiskKind(name: name, content: try DiskContent(image))
  }

  static let quick = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /dev/stdin"

  /// All of them, made once.
  static let all = Result { try makeAll() }

  private static func makeAll() throws -> [DiskKind] {
    [
      try made("ext2", "mkfs.ext2 -q -F -L two DISK"),
      try made("ext3", "mkfs.ext3 -q -F -L three DISK"),
      try made("ext4", "mkfs.ext4 -q -F -L four DISK"),
      try made("xfs", "mkfs.xfs -q -f --unsupported -L xroot DISK"),
      try made("btrfs", "mkfs.btrfs -q -m single -L butter DISK"),
      try made("vfat", "mkfs.vfat -F 32 -n THIRTYTWO DISK"),
      try made("exfat", "mkfs.exfat -L ex DISK"),
      try made("ntfs", "mkntfs -F -q -Q -L windows DISK"),
      try made("f2fs", "mkfs.f2fs -q -f -l flash DISK"),
      try made("nilfs2", "mkfs.nilfs2 -f -q -L nil DISK"),
      try made("jfs", "mkfs.jfs -q -L jay DISK"),
      try made("reiserfs", "mkfs.reiserfs -q -f -f -l rei DISK"),
      try made("ocfs2", "mkfs.ocfs2 -q -F -F -L oc -M local DISK"),
      try made("minix", "mkfs.minix -3 DISK"),
      try made("swap", "mkswap -q -L swapped DISK"),
      try made("udf", "mkudffs -l discus DISK"),
      try made("crypto_LUKS 1", "cryptsetup luksFormat -q --type luks1 \(quick) DISK"),
      try made(
        "crypto_LUKS 2", "cryptsetup luksFormat -q --type luks2 --label vault \(quick) DISK"),
      try made("bcache", "make-bcache -B DISK"),
      try packed("squashfs", "mksquashfs FOLDER DISK -noappend -quiet -no-progress"),
      try packed("erofs", "mkfs.erofs --quiet DISK FOLDER"),
      try packed("cramfs", "mkfs.cramfs -n cram FOLDER DISK"),
      try packed("iso9660", "xorriso -as mkisofs -quiet -V ISO -o DISK FOLDER"),
      linuxRAID("0.90"), linuxRAID("1.0"), linuxRAID("1.1"), linuxRAID("1.2"), lvm2(), zfs(),
    ]
  }

  // MARK: What needs a driver

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }

  private static func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    little(number).reversed()
  }

  /// linux/raid/md_p.h.
  static func linuxRAID(_ version: String) -> DiskKind {
    let size = DiskContent.byteCount
    var block: [UInt8]
    let place: UInt64
    if version == "0.90" {
      place = size / 65536 * 65536 - 65536
      let words: [UInt32] = [
        0xa92b_4efc, 0, 90, 0, 992, 0x1122_3344, 1, 1, UInt32((place - 65536) / 1024), 2, 2, 0, 0,
        0x5566_7788, 0x99aa_bbcc, 0xddee_ff00,
      ]
      block = words.flatMap { little($0) } + [UInt8](repeating: 0, count: 4096 - 64)
      // A sum of all words, with its own as 0.
      let sum = words.reduce(UInt64(0)) { $0 + UInt64($1) }
      block.replaceSubrange(152..<156, with: little(UInt32(truncatingIfNeeded: sum + sum >> 32)))
    } else {
      place = version == "1.0" ? size / 4096 * 4096 - 8192 : version == "1.1" ? 0 : 4096
      block = little(0xa92b_4efc as UInt32) + little(1 as UInt32) + [UInt8](repeating: 0, count: 8)
      block +=
        (1...16).map { UInt8($0) } + Array("host:array".utf8) + [UInt8](repeating: 0, count: 22)
      block += [UInt8](repeating: 0, count: 256 - block.count)
      block.replaceSubrange(72..<76, with: little(1 as UInt32))
      block.replaceSubrange(80..<88, with: little((size >> 9) - 4096))
      block.replaceSubrange(92..<96, with: little(2 as UInt32))
      block.replaceSubrange(128..<136, with: little(2048 as UInt64))
      block.replaceSubrange(136..<144, with: little((size >> 9) - 4096))
      block.replaceSubrange(144..<152, with: little(place / 512))
      block.replaceSubrange(168..<184, with: (17...32).map { UInt8($0) })
      var sum: UInt64 = 0
      for (index, byte) in block.enumerated() { sum += UInt64(byte) << (8 * UInt64(index % 4)) }
      let folded = (sum & 0xffff_ffff) + (sum >> 32)
      block.replaceSubrange(216..<220, with: little(UInt32(truncatingIfNeeded: folded)))
    }
    return DiskKind(name: "linux_raid_member \(version)", content: DiskContent([(place, block)]))
  }

  /// Lvm2's lib/format_text/layout.h: a label in sector 1 and the volume's header behind it.
  static func lvm2() -> DiskKind {
    var label = Array("LABELONE".utf8) + little(1 as UInt64) + [0, 0, 0, 0] + little(32 as UInt32)
    label += Array("LVM2 001".utf8) + Array("abcdefghijklmnopqrstuvwxyzABCDEF".utf8)
    label += little(DiskContent.byteCount)
    label += [UInt8](repeating: 0, count: 512 - label.count)
    // A CRC of its own, from byte 20 on.
    var crc: UInt32 = 0xf597_a6cf
    for byte in label[20...] {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
    }
    label.replaceSubrange(16..<20, with: little(crc))
    return DiskKind(name: "LVM2_member", content: DiskContent([(512, label)]))
  }

  /// ZFS On-Disk Specification, chapter 1.
  static func zfs() -> DiskKind {
    func pair(_ name: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
      let padded = Array(name.utf8) + [UInt8](repeating: 0, count: (4 - name.utf8.count % 4) % 4)
      let body = big(UInt32(name.utf8.count)) + padded + big(type) + big(1 as UInt32) + value
      return big(UInt32(body.count + 8)) + big(UInt32(body.count + 40)) + body
    }
    var list: [UInt8] = [1, 1, 0, 0] + big(0 as UInt32) + big(1 as UInt32)
    list += pair("version", 8, big(5000 as UInt64))
    list += pair("name", 9, big(4 as UInt32) + Array("tank".utf8))
    list += pair("pool_guid", 8, big(1_234_567_890_123 as UInt64))
    list += pair("guid", 8, big(987 as UInt64))
    list += [UInt8](repeating: 0, count: 8)
    let uberblock = little(0xbab10c as UInt64) + little(5000 as UInt64)
    let size = DiskContent.byteCount
    var pieces: [(UInt64, [UInt8])] = []
    for label in [0, 256 << 10, size - 512 << 10, size - 256 << 10] as [UInt64] {
      pieces.append((label + 16384, list))
      pieces += (0..<8).map { (label + 131072 + $0 * 1024, uberblock) }
    }
    return DiskKind(name: "zfs_member", content: DiskContent(pieces))
  }
}
