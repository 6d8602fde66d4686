// SPDX-License-Identifier: Apache-2.0
//
// Images that are no raw disks: made by the usual tools where those are there, else by their marks.

import HostTesting
import Linux
import Testing

@testable import Backends

@Suite("An image of another format", .timeLimit(.minutes(20)))
struct ForeignFormatTests {
  /// What is said of an image; nil where it is served.
  private func refusal(_ path: String, format: BlockOptions.Format? = nil) throws -> String? {
    var options = BlockOptions(path: path)
    options.format = format
    do {
      _ = try blockDevice(options)
      return nil
    } catch {
      #expect(!error.description.contains("\n"))
      return error.description
    }
  }

  @Test(
    "that qemu-img makes is refused by name, and served where it is said to be raw",
    arguments: [
      ("qcow", "", "a qcow image"), ("qcow2", "", "a qcow2 image"),
      ("qcow2", "compat=0.10", "a qcow2 image"), ("qed", "", "a QED image"),
      ("vdi", "", "a VDI image"), ("vhdx", "", "a VHDX image"),
      ("parallels", "", "a Parallels image"),
      ("vpc", "", "a VHD image (vpc)"), ("vpc", "subformat=fixed", "a VHD image (vpc)"),
      ("vmdk", "", "a VMDK image"), ("vmdk", "subformat=streamOptimized", "a VMDK image"),
      ("vmdk", "subformat=twoGbMaxExtentSparse", "a VMDK image"),
      ("vmdk", "subformat=monolithicFlat", "a VMDK image"),
    ])
  func made(format: String, option: String, name: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("disk.img")
    let options = option.isEmpty ? [] : ["-o", option]
    let made = try Command("qemu-img", ["create", "-f", format] + options + [path, "1M"]).run()
    try #require(made.code == 0, "\(made.text)")
    #expect(
      try refusal(path)
        == "cannot serve image \(path): it looks like \(name); make a raw image with 'qemu-img convert"
        + " -f \(format) -O raw \(path) \(path).raw', or, if a raw disk begins or ends so, say"
        + " format=raw")
    // These are text files, shorter than a block.
    let isText = ["subformat=monolithicFlat", "subformat=twoGbMaxExtentSparse"].contains(option)
    if !isText { #expect(try refusal(path, format: .raw) == nil) }
    let error = #expect(throws: DeviceError.self) { _ = try DiskView(path: path, writable: false) }
    #expect(
      error?.description.hasPrefix("cannot export image \(path): it looks like \(name);") == true)
    #expect(error?.description.hasSuffix("say --format raw") == true)
    if !isText {
      _ = try DiskView(path: path, writable: false, format: .raw)
    }
  }

  @Test("made of others begins or ends with the marks of their documents")
  func marks() throws {
    func name(_ head: [UInt8], foot: [UInt8] = []) -> String? {
      let head = head + [UInt8](repeating: 7, count: 4096 - head.count)
      let foot = foot + [UInt8](repeating: 7, count: 512 - foot.count)
      return ForeignFormat.find(head: head, foot: foot)?.name
    }
    #expect(name([0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0]) == "an Android sparse image")
    #expect(name(Array("COWD".utf8)) == "a VMDK image")
    #expect(name(Array("# Made by a program\n# Disk DescriptorFile\n\0".utf8)) == "a VMDK image")
    #expect(name(Array("Bochs Virtual HD Image\0".utf8)) == "a Bochs image")
    #expect(name(Array("#!/bin/sh\n#V2.0 Format\nmodprobe cloop".utf8)) == "a cloop image")
    #expect(name(Array("WithouFreSpacExt".utf8)) == "a Parallels image")
    #expect(name([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]) == "a file compressed with xz")
    #expect(name([0x28, 0xb5, 0x2f, 0xfd]) == "a file compressed with zstd")
    #expect(name([0x04, 0x22, 0x4d, 0x18]) == "a file compressed with lz4")
    #expect(name([0x02, 0x21, 0x4c, 0x18]) == "a file compressed with lz4")
    #expect(
      name(Array("BZh9".utf8) + [0x31, 0x41, 0x59, 0x26, 0x53, 0x59])
        == "a file compressed with bzip2")
    #expect(name(Array("LZIP\u{1}".utf8)) == "a file compressed with lzip")
    #expect(
      name([0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a]) == "a file compressed with lzop")
    #expect(name(Array("PK\u{3}\u{4}".utf8)) == "a zip archive")
    #expect(name(Array("7z".utf8) + [0xbc, 0xaf, 0x27, 0x1c]) == "a 7z archive")
    #expect(name([], foot: Array("koly".utf8)) == "a DMG image")
    #expect(name([], foot: [0] + Array("conectix".utf8)) == "a VHD image (vpc)")
  }

  @Test("that gzip has made is refused, and told how to unpack it")
  func gzip() throws {
    let image = try TestImage(pattern(65536))
    #expect(try Command("gzip", [image.path]).run().code == 0)
    let path = "\(image.path).gz"
    #expect(
      try refusal(path)?.contains(
        "it looks like a file compressed with gzip; make a raw image with 'gzip -dc \(path) > \(path).raw'"
      )
        == true)
    #expect(try refusal(path, format: .raw) == nil)
  }

  @Test(
    "is none that is a disk's own content",
    arguments: [
      [], Array("LUKS".utf8) + [0xba, 0xbe, 0, 2], [0xeb, 0x3c, 0x90] + Array("mkfs.fat".utf8),
      Array("XFSB".utf8), Array("hsqs".utf8), Array("#!/bin/sh\necho\n".utf8), Array("BZh".utf8),
      Array("QFI".utf8), [0x1f, 0x8b], Array("# a comment\n".utf8),
    ] as [[UInt8]])
  func content(_ bytes: [UInt8]) throws {
    let image = try TestImage(bytes + [UInt8](repeating: 0, count: 65536 - bytes.count))
    #expect(try refusal(image.path) == nil)
  }
}
