// SPDX-License-Identifier: Apache-2.0
//
// Kernels that these tests make up, byte by byte.

import LguestTransport

/// An ELF executable.
package struct ELF {
  package init() {}

  package struct Segment {
    package var type: UInt32 = 1
    package var address: UInt32
    package var bytes: [UInt8]
    package var memoryCount: UInt32?

    package init(
      type: UInt32 = 1, address: UInt32, bytes: [UInt8], memoryCount: UInt32? = nil
    ) {
      self.type = type
      self.address = address
      self.bytes = bytes
      self.memoryCount = memoryCount
    }
  }

  package var fileClass: UInt8 = 1
  package var type: UInt16 = 2
  package var machine: UInt16 = 3
  package var entry: UInt32 = 0x100_0000
  package var segmentSize: UInt16 = 32
  package var segments = [Segment(address: 0x100_0000, bytes: Array("..lguest..".utf8))]

  package var bytes: [UInt8] {
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
package struct BzImage {
  package init() {}

  package var setupSectors: UInt8 = 2
  package var version: UInt16 = 0x20a
  package var loadFlags: UInt8 = 1
  package var moreLoadFlags: UInt16 = 0
  package var start: UInt32 = 0x10_0000
  package var unpackedSize: UInt32 = 0x40_0000
  package var payload = [UInt8](repeating: 0xab, count: 5000)

  package var bytes: [UInt8] {
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
