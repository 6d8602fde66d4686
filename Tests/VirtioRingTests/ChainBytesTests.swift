// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("The bytes of a chain, over all its segments", .timeLimit(.minutes(20)))
struct ChainBytesTests {
  /// A chain of segments of 3, 0, 5 and 1 readable and 2, 0, 7 writable bytes.
  private func bed() throws -> RingBed {
    let bed = try RingBed(.split)
    bed.memory.write([1, 2, 3], at: 0x100)
    bed.memory.write([4, 5, 6, 7, 8], at: 0x80)
    bed.memory.write([9], at: 0x200)
    try #require(
      bed.offer([
        .readable(0x100, 3), .readable(0x300, 0), .readable(0x80, 5), .readable(0x200, 1),
        .writable(0x400, 2), .writable(0x300, 0), .writable(0x500, 7),
      ]))
    try #require(try bed.pop())
    return bed
  }

  @Test("words are read from any offset, and only whole")
  func load() throws {
    let bed = try bed()
    #expect(bed.load(UInt8.self, at: 0) == 1)
    #expect(bed.load(UInt32.self, at: 0) == 0x0403_0201)
    #expect(bed.load(UInt64.self, at: 1) == 0x0908_0706_0504_0302)
    #expect(bed.load(UInt64.self, at: 2) == nil)
    #expect(bed.load(UInt8.self, at: 8) == 9)
    #expect(bed.load(UInt8.self, at: 9) == nil)
    #expect(bed.load(UInt8.self, at: Int.max) == nil)
    #expect(bed.load(UInt8.self, at: -1) == nil)
  }

  @Test("words are written to any offset, and told where they did not fit")
  func store() throws {
    let bed = try bed()
    #expect(bed.store(UInt64(0x0807_0605_0403_0201), at: 0))
    #expect(bed.store(UInt8(0xff), at: 8))
    #expect(!bed.store(UInt8(0xff), at: 9))
    #expect(!bed.store(UInt8(0xff), at: Int.max))
    #expect(!bed.store(UInt8(0xff), at: -1))
    #expect(bed.memory.bytes(at: 0x400, count: 3) == [1, 2, 0])
    #expect(bed.memory.bytes(at: 0x500, count: 8) == [3, 4, 5, 6, 7, 8, 0xff, 0])
    #expect(!bed.store(UInt64.max, at: 5))
    #expect(bed.memory.bytes(at: 0x500, count: 8) == [3, 4, 5, 0xff, 0xff, 0xff, 0xff, 0])
    #expect(bed.memory.bytes(at: 0x100, count: 3) == [1, 2, 3], "readable bytes stay as they are")
  }

  @Test("spans of private bytes are filled and emptied as far as there is room")
  func spans() throws {
    let bed = try bed()
    var bytes = [UInt8](repeating: 0xaa, count: 12)
    let read = bed.read(from: 2, into: &bytes)
    #expect(read == 7)
    #expect(bytes == [3, 4, 5, 6, 7, 8, 9, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa])
    let written = bed.write([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], to: 1)
    #expect(written == 8)
    #expect(bed.memory.bytes(at: 0x400, count: 3) == [0, 1, 0])
    #expect(bed.memory.bytes(at: 0x500, count: 8) == [2, 3, 4, 5, 6, 7, 8, 0])
  }
}
