// SPDX-License-Identifier: Apache-2.0
//
// Kernels that these tests make up, byte by byte.

import Linux

@testable import LguestTransport

/// A file of the given bytes.
func file(_ bytes: [UInt8], path: String = "kernel") throws -> GuestFile {
  let file = try Memfd.create(name: "kernel", size: UInt64(bytes.count))
  _ = try file.write(bytes, at: 0)
  return try GuestFile(file, path: path)
}

/// An ELF executable.
struct ELF {
  struct Segment {
    var type: UInt32 = 1
    var address: UInt32
    var bytes: [UInt8]
    var memoryCount: UInt32?
  }

  var fileClass: UInt8 = 1
  var type: UInt16 = 2
  var machine: UInt16 = 3
  var entry: UInt32 = 0x100_0000
  var segmentSize: UInt16 = 32
  var segments = [Segment(address: 0x100_0000, bytes: Array("..lguest..".utf8))]

  var bytes: [UInt8] {
    var bytes: [UInt8] =
      [0x7f, 0x45, 0x4c, 0x46, fileClass, 1, 1] + [UInt8](repeating: 0, count: 9)
    bytes.append(littleEndian: type)
    bytes.append(littleEndian: machine)
    bytes.append(littleEndian: UInt32(1))
    bytes.append(littleEndian: entry)
    bytes.append(littleEndian: UInt32(52))
    bytes.append(littleEndian: UInt32(0))
    bytes.append(littleEndian: UInt32(0))
    bytes.append(littleEndian: UInt16(52))
    bytes.append(littleEndian: segmentSize)
    bytes.append(littleEndian: UInt16(segments.count))
    bytes += [UInt8](repeating: 0, count: 6)
    var offset = UInt32(52 + 32 * segments.count)
    for segment in segments {
      let count = UInt32(segment.bytes.count)
      bytes.append(littleEndian: segment.type)
      bytes.append(littleEndian: offset)
      // The virtual address says nothing of where a kernel goes.
      bytes.append(littleEndian: segment.address &+ 0xc000_0000)
      bytes.append(littleEndian: segment.address)
      bytes.append(littleEndian: count)
      bytes.append(littleEndian: segment.memoryCount ?? count)
      bytes.append(littleEndian: UInt32(7))
      bytes.append(littleEndian: UInt32(4096))
      offset += count
    }
    for segment in segments { bytes += segment.bytes }
    return bytes
  }
}

/// A bzImage.
struct BzImage {
  var setupSectors: UInt8 = 2
  var version: UInt16 = 0x20a
  var loadFlags: UInt8 = 1
  var moreLoadFlags: UInt16 = 0
  var start: UInt32 = 0x10_0000
  var unpackedSize: UInt32 = 0x40_0000
  var payload = [UInt8](repeating: 0xab, count: 5000)

  var bytes: [UInt8] {
    let sectors = setupSectors == 0 ? 4 : Int(setupSectors)
    var bytes = [UInt8](repeating: 0, count: (sectors + 1) * 512)
    bytes[0x1f1] = setupSectors
    bytes.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    bytes.put(version, at: 0x206)
    bytes[0x211] = loadFlags
    bytes.put(start, at: 0x214)
    bytes.put(moreLoadFlags, at: 0x236)
    bytes.put(unpackedSize, at: 0x260)
    return bytes + payload
  }
}
