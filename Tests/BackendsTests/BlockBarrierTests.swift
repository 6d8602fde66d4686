// SPDX-License-Identifier: Apache-2.0
//
// What a legacy barrier keeps apart, asserted as BlockDurabilityTests does.

import Linux
import Testing
import VirtioRing

@testable import Backends

@Suite("A barrier", .timeLimit(.minutes(20)))
struct BlockBarrierTests {
  @Test(
    "a barrier is drain, sync, do, sync, and nothing after it begins earlier",
    arguments: RecordedDisk.Engine.allCases, BlockBatch.seeds)
  func barrier(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try BlockBatch(
      engine, .init(seed: seed), accepted: .blockBarrier, isLegacy: true)
    let (statuses, order) = try batch.run([
      (BlockType.write, 1), (BlockType.write, 2), (BlockType.read, 20),
      (BlockType.write | BlockType.barrier, 3),
      (BlockType.write, 4), (BlockType.read, 21),
    ])
    #expect(statuses == [0, 0, 0, 0, 0, 0])
    #expect(Set(order[..<3]) == [0, 1, 2])
    #expect(order[3] == 3)
    let operations = batch.recorder.operations
    #expect(Set(operations[..<3]) == [.write(1), .write(2), .read(20)])
    #expect(operations[3...5] == [.sync, .write(3), .sync])
    #expect(Set(operations[6...]) == [.write(4), .read(21)])
    let events = batch.recorder.events
    let first = try batch.index(.sync, isEnd: false)
    let firstEnd = try batch.index(.sync, isEnd: true)
    for operation in [BlockOperation.write(1), .write(2), .read(20)] {
      #expect(try batch.index(operation, isEnd: true) < first)
    }
    #expect(events[firstEnd].used == 3)
    #expect(try batch.index(.write(3), isEnd: false) > firstEnd)
    let second = try batch.index(.sync, isEnd: false, from: firstEnd)
    let secondEnd = try batch.index(.sync, isEnd: true, from: second)
    #expect(try batch.index(.write(3), isEnd: true) < second)
    #expect(events[secondEnd].used == 3)
    #expect(try batch.index(.write(4), isEnd: false) > secondEnd)
    #expect(try batch.index(.read(21), isEnd: false) > secondEnd)
  }

  @Test(
    "barriers one behind the other share the sync between them",
    arguments: RecordedDisk.Engine.allCases, BlockBatch.seeds)
  func barriers(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try BlockBatch(engine, .init(seed: seed), accepted: .blockBarrier, isLegacy: true)
    let (statuses, order) = try batch.run(
      (0..<4).map { (BlockType.write | BlockType.barrier, $0) })
    #expect(statuses == [0, 0, 0, 0])
    #expect(order == [0, 1, 2, 3])
    #expect(
      batch.recorder.operations == [.sync] + (0..<4).flatMap { [.write($0), .sync] })
  }

  @Test(
    "a barrier that reads, and one that cannot be served", arguments: RecordedDisk.Engine.allCases)
  func otherBarriers(engine: RecordedDisk.Engine) throws {
    let batch = try BlockBatch(engine, accepted: [.blockBarrier], isLegacy: true)
    let (statuses, order) = try batch.run([
      (BlockType.write, 1), (BlockType.read | BlockType.barrier, 5),
      (BlockType.write | BlockType.barrier, 500), (BlockType.scsi | BlockType.barrier, 0),
      (BlockType.write, 2),
    ])
    #expect(statuses == [0, 0, 1, 2, 0])
    #expect(order == [0, 1, 2, 3, 4])
    #expect(batch.recorder.operations.prefix(3) == [.write(1), .sync, .read(5)])
    #expect(batch.recorder.operations.last == .write(2))
  }

  @Test(
    "a barrier whose first sync fails is not done, and one whose second fails is not promised",
    arguments: RecordedDisk.Engine.allCases, [0, 1])
  func failingBarrier(engine: RecordedDisk.Engine, failing: Int) throws {
    let batch = try BlockBatch(
      engine, .init(failingSyncs: (failing, .io)), accepted: .blockBarrier, isLegacy: true)
    let (statuses, _) = try batch.run([
      (BlockType.write, 1), (BlockType.write | BlockType.barrier, 3), (BlockType.write, 4),
    ])
    #expect(statuses == [0, 1, 0])
    #expect(batch.recorder.operations.contains(.write(3)) == (failing == 1))
  }

  @Test("a barrier on a read-only disk is served without a sync", arguments: BlockVariant.all)
  func readOnlyBarrier(variant: BlockVariant) throws {
    let image = try TestImage(pattern(65536))
    let device = try variant.device(image) {
      $0.isReadOnly = true
      $0.isLegacy = true
    }
    let bed = try BlockBed(
      device, variant.format, accepted: [.blockBarrier, .blockFlush, .blockReadOnly])
    for turn in 0..<3 {
      let read = try bed.request(
        BlockType.read | BlockType.barrier, sector: UInt64(turn), room: 512)
      #expect(read.status == 0)
      #expect(read.data == Array(pattern(65536)[turn * 512..<turn * 512 + 512]))
      #expect(try bed.request(BlockType.flush | BlockType.barrier).status == 0)
      #expect(try bed.request(BlockType.write | BlockType.barrier, out: pattern(512)).status == 1)
    }
  }

  @Test("a barrier is offered to legacy drivers only", arguments: BlockVariant.engines)
  func offer(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 65536)
    #expect(!(try variant.device(image).offeredFeatures.contains(.blockBarrier)))
    let legacy = try variant.device(image) { $0.isLegacy = true }
    #expect(legacy.offeredFeatures.contains(.blockBarrier))
    // As legacy drivers were always told.
    #expect(legacy.configuration()[12] == 254)
    let bed = try BlockBed(legacy, accepted: [.blockBarrier, .blockSegmentMax])
    let answer = try bed.request(BlockType.write | BlockType.barrier, sector: 5, out: pattern(1024))
    #expect(answer == BlockAnswer(status: 0, written: 1))
    #expect(try bed.read(5, 1024) == BlockAnswer(status: 0, written: 1025, data: pattern(1024)))
    #expect(try image.bytes(at: 2560, count: 1024) == pattern(1024))
  }
}
