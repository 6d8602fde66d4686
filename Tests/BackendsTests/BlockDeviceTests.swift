// SPDX-License-Identifier: Apache-2.0

@testable import Backends
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@Suite("A disk")
struct BlockDeviceTests {
  @Test("writes and reads back, byte for byte", arguments: BlockVariant.all)
  func roundTrip(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 20)
    let device = try variant.device(image)
    let bed = try BlockBed(device, variant.format)
    let bytes = pattern(8192)
    #expect(try bed.write(16, bytes) == BlockAnswer(status: 0, written: 1))
    #expect(try bed.flush() == BlockAnswer(status: 0, written: 1))
    #expect(try bed.read(16, 8192) == BlockAnswer(status: 0, written: 8193, data: bytes))
    #expect(try image.bytes(at: 8192, count: 8192) == bytes)
    bed.stop()
    #expect(device.statistics[0].chains.load(ordering: .relaxed) == 3)
    #expect(device.statistics[0].bytes.load(ordering: .relaxed) == 16384)
    #expect(device.statistics[0].errors.load(ordering: .relaxed) == 0)
  }

  @Test("serves single sectors whatever the host's block is", arguments: BlockVariant.all)
  func sectors(variant: BlockVariant) throws {
    let image = try TestImage(pattern(16 * 512, seed: 3))
    let bed = try BlockBed(try variant.device(image), variant.format)
    #expect(try bed.write(3, pattern(512, seed: 9)).status == 0)
    #expect(try bed.read(3, 512).data == pattern(512, seed: 9))
    #expect(try bed.read(2, 512).data == Array(pattern(16 * 512, seed: 3)[1024..<1536]))
    #expect(try bed.read(4, 512).data == Array(pattern(16 * 512, seed: 3)[2048..<2560]))
  }
}
