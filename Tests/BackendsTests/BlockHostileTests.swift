// SPDX-License-Identifier: Apache-2.0
//
// What a hostile or broken driver sends to a disk. After each of these, the disk still serves.

import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("A disk survives", .timeLimit(.minutes(20)))
struct BlockHostileTests {
  private let sectorCount = 128

  /// Runs a test on each engine; then the disk must still work and its image must be as it was.
  private func survive(
    _ variant: BlockVariant, size: UInt16 = 16, errors: Int, accepted: Features = BlockBed.modern,
    isReadOnly: Bool = false, _ body: (BlockBed) throws -> Void
  ) throws {
    let bytes = pattern(sectorCount * 512)
    let image = try TestImage(bytes)
    let device = try variant.device(image) { $0.isReadOnly = isReadOnly }
    let bed = try BlockBed(device, variant.format, size: size, accepted: accepted)
    try body(bed)
    #expect(
      try bed.read(1, 512) == BlockAnswer(status: 0, written: 513, data: Array(bytes[512..<1024])))
    bed.stop()
    #expect(device.statistics[0].errors == UInt64(errors))
    #expect(device.statistics[0].faults == 0)
    #expect(try image.bytes(at: 0, count: bytes.count) == bytes)
  }

  @Test("a sector that wraps when it becomes bytes", arguments: BlockVariant.engines)
  func sectorOverflow(variant: BlockVariant) throws {
    let sectors: [UInt64] = [.max, .max - 1, 1 << 63, 1 << 55, (1 << 55) + 1, 1 << 54]
    try survive(variant, errors: sectors.count * 2) { bed throws in
      for sector in sectors {
        #expect(try bed.read(sector, 1024).status == 1)
        #expect(try bed.write(sector, pattern(1024)) == BlockAnswer(status: 1, written: 1))
      }
    }
  }

  @Test("transfers past the capacity, whole or in part", arguments: BlockVariant.engines)
  func pastCapacity(variant: BlockVariant) throws {
    try survive(variant, errors: 5) { bed throws in
      #expect(try bed.read(127, 512).status == 0)
      let untouched = [UInt8](repeating: 0xee, count: 1024)
      #expect(try bed.read(127, 1024) == BlockAnswer(status: 1, written: 1, data: untouched))
      #expect(try bed.read(128, 512).status == 1)
      #expect(try bed.write(127, pattern(1024)).status == 1)
      #expect(try bed.write(128, pattern(512)).status == 1)
      // Nothing at the very end is within it, nothing behind the end is not.
      #expect(try bed.read(128, 0) == BlockAnswer(status: 0, written: 1))
      #expect(try bed.read(129, 0).status == 1)
    }
  }

  @Test("unknown types and SCSI commands", arguments: BlockVariant.engines)
  func unknownType(variant: BlockVariant) throws {
    // SCSI, its old number, GET_LIFETIME, a legacy flush, zone commands, any bit at all.
    let types: [UInt32] = [2, 3, 10, 5, 15, 16, 18, 0x100, 0xffff_ffff]
    try survive(variant, errors: types.count) { bed throws in
      for type in types {
        #expect(
          try bed.request(type, out: pattern(512), room: 8)
            == BlockAnswer(status: 2, written: 1, data: Array(repeating: 0xee, count: 8)))
      }
    }
  }

  @Test("discard and write-zeroes, which it does not offer", arguments: BlockVariant.engines)
  func discard(variant: BlockVariant) throws {
    try survive(variant, errors: 6) { bed throws in
      for type: UInt32 in [11, 13, 14] {
        for segments in [1, 40] {
          let segment: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]
          let out = Array(repeating: segment, count: segments).flatMap { $0 }
          #expect(try bed.request(type, out: out).status == 2)
        }
      }
    }
  }

  @Test("a barrier where barriers were not negotiated", arguments: BlockVariant.engines)
  func barrierNotNegotiated(variant: BlockVariant) throws {
    try survive(variant, errors: 1) { bed throws in
      let answer = try bed.request(BlockType.write | BlockType.barrier, out: pattern(512, seed: 9))
      #expect(answer.status == 2)
    }
  }

  @Test("a flush with data in either direction", arguments: BlockVariant.engines)
  func flushWithData(variant: BlockVariant) throws {
    try survive(variant, errors: 0) { bed throws in
      let answer = try bed.request(BlockType.flush, sector: .max, out: pattern(700), room: 9)
      #expect(answer == BlockAnswer(status: 0, written: 1, data: Array(repeating: 0xee, count: 9)))
    }
  }

  @Test("a flush without the feature", arguments: BlockVariant.engines)
  func flushNotNegotiated(variant: BlockVariant) throws {
    try survive(variant, errors: 1, accepted: .version1) { bed throws in
      #expect(try bed.flush() == BlockAnswer(status: 2, written: 1))
    }
  }

  @Test("data of no whole sectors", arguments: BlockVariant.engines)
  func partialSectors(variant: BlockVariant) throws {
    let counts = [1, 511, 513, 1000]
    try survive(variant, errors: counts.count * 2) { bed throws in
      for count in counts {
        #expect(try bed.read(0, count).status == 1)
        #expect(try bed.write(0, pattern(count, seed: 9)).status == 1)
      }
    }
  }

  @Test("writes to a read-only disk", arguments: BlockVariant.engines)
  func readOnly(variant: BlockVariant) throws {
    try survive(variant, errors: 1, isReadOnly: true) { bed throws in
      #expect(try bed.write(0, pattern(512, seed: 9)) == BlockAnswer(status: 1, written: 1))
      #expect(try bed.flush().status == 0)
    }
  }

  @Test("a header of fewer than sixteen bytes", arguments: BlockVariant.engines)
  func shortHeader(variant: BlockVariant) throws {
    try survive(variant, errors: 3) { bed throws in
      let header = bed.queue.space.take(16)
      let status = bed.queue.space.take(600)
      for count: UInt32 in [1, 8, 15] {
        bed.memory.store(UInt8(0xee), at: status)
        let used = try bed.send([.readable(header, count), .writable(status, 1)])
        #expect(used.written == 1)
        #expect(bed.memory.load(UInt8.self, at: status) == 1)
      }
    }
  }

  @Test("a header in a writable buffer", arguments: BlockVariant.engines)
  func writableHeader(variant: BlockVariant) throws {
    try survive(variant, errors: 1) { bed throws in
      let buffer = bed.queue.space.take(1024)
      bed.memory.write(BlockBed.header(BlockType.read, 0), at: buffer)
      bed.memory.fill(0xee, at: buffer + 16, count: 513)
      let used = try bed.send([.writable(buffer, 16), .writable(buffer + 16, 513)])
      #expect(used.written == 1)
      // The last writable byte is the status; nothing else was touched.
      #expect(bed.memory.bytes(at: buffer, count: 16) == BlockBed.header(BlockType.read, 0))
      #expect(
        bed.memory.bytes(at: buffer + 16, count: 513) == Array(repeating: 0xee, count: 512) + [1])
    }
  }

  @Test(
    "a chain without a writable byte: it comes back with 0 written",
    arguments: BlockVariant.engines)
  func noStatus(variant: BlockVariant) throws {
    try survive(variant, errors: 4) { bed throws in
      let buffer = bed.queue.space.take(2048)
      for type in [BlockType.read, BlockType.write, BlockType.flush] {
        bed.memory.write(BlockBed.header(type, 0), at: buffer)
        // The status is there, but only to read.
        let used = try bed.send([
          .readable(buffer, 16), .readable(buffer + 512, 512), .readable(buffer + 1024, 1),
        ])
        #expect(used.written == 0)
      }
      // Writable, but of no bytes.
      let used = try bed.send([.readable(buffer, 16), .writable(buffer + 1024, 0)])
      #expect(used.written == 0)
    }
  }

  @Test("a status of length 0 behind the data", arguments: BlockVariant.engines)
  func emptyStatus(variant: BlockVariant) throws {
    try survive(variant, errors: 1) { bed throws in
      let buffer = bed.queue.space.take(2048)
      bed.memory.write(BlockBed.header(BlockType.read, 0), at: buffer)
      bed.memory.fill(0xee, at: buffer + 512, count: 600)
      // The last of the 512 bytes is the status, so there are 511 bytes for data: no whole sector.
      let used = try bed.send([
        .readable(buffer, 16), .writable(buffer + 512, 512), .writable(buffer + 1024, 0),
      ])
      #expect(used.written == 1)
      #expect(
        bed.memory.bytes(at: buffer + 512, count: 513)
          == Array(repeating: 0xee, count: 511) + [1, 0xee])
    }
  }

  @Test(
    "a header in descriptors of one byte, and the status in one with data",
    arguments: BlockVariant.engines)
  func splitHeader(variant: BlockVariant) throws {
    try survive(variant, size: 64, errors: 0) { bed throws in
      let header = bed.queue.space.take(16)
      let data = bed.queue.space.take(513)
      bed.memory.write(BlockBed.header(BlockType.read, 2), at: header)
      let bytes = (0..<16).map { DriverBuffer.readable(header + $0, 1) }
      let used = try bed.send(bytes + [.writable(data, 513)])
      #expect(used.written == 513)
      #expect(
        bed.memory.bytes(at: data, count: 513) == Array(pattern(65536)[1024..<1536]) + [0])
    }
  }

  @Test("data in a hundred descriptors of a few bytes", arguments: BlockVariant.engines)
  func scatteredData(variant: BlockVariant) throws {
    try survive(variant, size: 256, errors: 0) { bed throws in
      let header = bed.queue.space.take(16)
      let data = bed.queue.space.take(4096)
      bed.memory.write(BlockBed.header(BlockType.read, 4), at: header)
      let pieces = (0..<128).map { DriverBuffer.writable(data + $0 * 8, 4) }
      let used = try bed.send([.readable(header, 16)] + pieces + [.writable(data + 2048, 1)])
      #expect(used.written == 513)
      let read = (0..<128).flatMap { bed.memory.bytes(at: data + $0 * 8, count: 4) }
      #expect(read == Array(pattern(65536)[2048..<2560]))
    }
  }

  @Test(
    "an image that shrinks under it: reads behind the end fail and leave the buffer alone",
    arguments: BlockVariant.all)
  func shrunkImage(variant: BlockVariant) throws {
    let image = try TestImage(pattern(65536))
    let log = LineCollector()
    let start = ContinuousClock.now
    let bed = try BlockBed(try variant.device(image, log: log), variant.format)
    try image.resize(to: 16384)
    #expect(try bed.read(0, 4096).status == 0)
    #expect(
      try bed.read(64, 4096)
        == BlockAnswer(status: 1, written: 1, data: Array(repeating: 0xee, count: 4096)))
    // Half of it is there.
    let half = try bed.read(28, 4096)
    #expect(half.status == 1)
    #expect(half.written == 1)
    #expect(log.lines.count <= lineLimit(since: start))
    #expect(log.lines.first?.contains("\(image.path): read of 4096 bytes at 32768") == true)
    #expect(try bed.read(31, 512).status == 0)
  }

  @Test("a stream of nonsense, and stops at once when told to", arguments: BlockVariant.engines)
  func flood(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 65536)
    let device = try variant.device(image)
    let bed = try BlockBed(device, size: 64)
    let buffer = bed.queue.space.take(4096)
    var sent = 0
    var random = SplitMix(seed: 1)
    let end = ContinuousClock.now + .milliseconds(300)
    while ContinuousClock.now < end || sent <= 100 {
      let header = BlockBed.header(
        .random(in: 0...16, using: &random), .random(in: 0...256, using: &random))
      bed.memory.write(header, at: buffer)
      while bed.queue.offer([.readable(buffer, 16), .writable(buffer + 512, 513)]) { sent += 1 }
      while try bed.queue.collect() != nil {}
    }
    let stopping = ContinuousClock.now
    bed.stop()
    #expect(ContinuousClock.now - stopping < soon)
    #expect(bed.queue.inFlightCount == 0)
    #expect(device.statistics[0].faults == 0)
  }

  @Test(
    "a broken ring: what is in flight is given back, and a new queue works",
    arguments: BlockVariant.engines)
  func brokenRing(variant: BlockVariant) throws {
    let image = try TestImage(pattern(65536))
    let device = try variant.device(image)
    device.driverAccepted(BlockBed.modern)
    let faults = Atomic<Int>(0)
    let memory = TestMemory(byteCount: 0x10000)
    var space = GuestSpace(0..<0x10000)
    let plan = RingPlan.split(size: 8, in: &space)
    var driver = Driver(plan, memory: memory, features: .version1)
    let raw = RawSplitRing(plan, memory: memory)
    let address = space.take(1024)
    memory.write(BlockBed.header(BlockType.read, 0), at: address)
    for _ in 0..<2 {
      let isOffered = driver.offer([
        .readable(address, 16), .writable(address + 16, 512), .writable(address + 528, 1),
      ])
      #expect(isOffered)
    }
    // Two good chains, then an index that no driver reaches.
    memory.store(UInt16(500), at: raw.availableEntry(2))
    raw.availableIndex = 3
    let queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    let kick = try EventFD()
    let running = try device.start(
      queue, index: 0,
      wiring: QueueWiring(kick: try kick.descriptor.duplicate(), call: nil) { _ in
        faults.add(1, ordering: .relaxed)
      })
    let end = ContinuousClock.now + soon
    while faults.load(ordering: .relaxed) == 0, ContinuousClock.now < end {}
    #expect(faults.load(ordering: .relaxed) == 1)
    #expect(raw.usedIndex == 2)
    let broken = running.stop()
    #expect(broken.inFlightCount == 0)
    #expect(broken.fault == .headOutOfRange)
    device.reset()
    let bed = try BlockBed(device)
    #expect(try bed.read(0, 512).status == 0)
  }
}
