// SPDX-License-Identifier: Apache-2.0
//
// Chains of as many segments as a ring holds, which a driver may make that has not accepted SEG_MAX.

import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("A long chain", .timeLimit(.minutes(20)))
struct BlockLongChainTests {
  private static let size: UInt16 = 1024

  /// A request whose data is in `count` pieces that do not touch each other.
  private struct Request {
    let status: UInt64
    let pieces: [DriverBuffer]
    let buffers: [DriverBuffer]

    init(_ bed: BlockBed, _ type: UInt32, sector: UInt64, byteCount: Int, count: Int) {
      let header = bed.queue.space.take(16)
      bed.memory.write(BlockBed.header(type, sector), at: header)
      let status = bed.queue.space.take(8)
      bed.memory.store(BlockAnswer.untouched, at: status)
      let each = byteCount / count
      pieces = (0..<count).map { index in
        let bytes = index < count - 1 ? each : byteCount - each * (count - 1)
        let place = bed.queue.space.take(UInt64(bytes) + 8)
        return DriverBuffer(
          address: place, byteCount: UInt32(bytes), isWritable: type == BlockType.read)
      }
      self.status = status
      buffers = [.readable(header, 16)] + pieces + [.writable(status, 1)]
    }

    func write(_ bytes: [UInt8], _ memory: TestMemory) {
      var start = 0
      for piece in pieces {
        memory.write(Array(bytes[start..<start + Int(piece.byteCount)]), at: piece.address)
        start += Int(piece.byteCount)
      }
    }

    func read(_ memory: TestMemory) -> [UInt8] {
      pieces.flatMap { memory.bytes(at: $0.address, count: Int($0.byteCount)) }
    }
  }

  @Test(
    "of all that a ring of 1024 holds is served, again and again, and short ones between them",
    arguments: BlockVariant.all)
  func wholeRing(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 18)
    let device = try variant.device(image)
    let bed = try BlockBed(device, variant.format, size: Self.size)
    for count in [1022, 511, 513, 700, 1, 1022] {
      let bytes = pattern(8192, seed: count)
      let write = Request(bed, BlockType.write, sector: 8, byteCount: 8192, count: count)
      write.write(bytes, bed.memory)
      #expect(try bed.send(write.buffers).written == 1)
      #expect(bed.memory.load(UInt8.self, at: write.status) == 0)
      #expect(try image.bytes(at: 4096, count: 8192) == bytes)
      let read = Request(bed, BlockType.read, sector: 8, byteCount: 8192, count: count)
      #expect(try bed.send(read.buffers).written == 8193)
      #expect(bed.memory.load(UInt8.self, at: read.status) == 0)
      #expect(read.read(bed.memory) == bytes)
    }
    bed.stop()
    #expect(device.statistics[0].faults == 0)
    #expect(device.statistics[0].errors == 0)
  }

  @Test(
    "holds up what is behind it, and no longer", arguments: RecordedDisk.Engine.allCases,
    BlockBatch.seeds)
  func amongOthers(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let image = try TestImage(byteCount: 1 << 18)
    let disk = try RecordedDisk(image, engine, BlockRecorder(.init(seed: seed)))
    let bed = try BlockBed(disk, size: Self.size, started: false)
    // The long one, short ones before and behind it, then as many again as the ring has room for.
    var requests: [Request] = []
    for (index, count) in [1, 2, 900, 1, 40, 3].enumerated() {
      let request = Request(
        bed, BlockType.write, sector: UInt64(index * 8), byteCount: 4096, count: count)
      request.write(pattern(4096, seed: index), bed.memory)
      requests.append(request)
      try #require(bed.queue.offer(request.buffers, token: UInt64(index)))
    }
    try bed.queue.start()
    for index in requests.indices {
      #expect(try bed.queue.awaitUsed()?.token == UInt64(index))
    }
    for (index, request) in requests.enumerated() {
      #expect(bed.memory.load(UInt8.self, at: request.status) == 0)
      #expect(
        try image.bytes(at: index * 4096, count: 4096) == pattern(4096, seed: index))
    }
    let next = Request(bed, BlockType.read, sector: 16, byteCount: 4096, count: 1000)
    #expect(try bed.send(next.buffers).written == 4097)
    #expect(next.read(bed.memory) == pattern(4096, seed: 2))
  }
}
