// SPDX-License-Identifier: Apache-2.0
//
// What a driver is told, and what it can still do, when the host fails: syncs, transfers, io_uring, room.

import Glibc
import HostTesting
import Linux
import Testing
import VirtioRing

@testable import Backends

@Suite("A disk whose host fails", .timeLimit(.minutes(20)))
struct BlockFailureTests {
  @Test(
    "a failed sync is an error, and so is every flush until the driver resets the disk",
    arguments: RecordedDisk.Engine.allCases)
  func failedFlush(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let batch = try BlockBatch(
      engine, .init(failingSyncs: (1, .io), failingSyncCount: 1), log: log, started: true)
    let bed = batch.bed
    #expect(try bed.flush().status == 0)
    #expect(try bed.write(1, pattern(512)).status == 0)
    #expect(try bed.flush() == BlockAnswer(status: 1, written: 1))
    // The image would sync again. The pages that were lost would not come back.
    #expect(try bed.flush().status == 1)
    #expect(try bed.write(2, pattern(512)).status == 0)
    #expect(try bed.read(2, 512).data == pattern(512))
    #expect(try bed.flush().status == 1)
    #expect(batch.recorder.operations.filter { $0 == .sync }.count == 2)
    #expect(log.lines.count == 1)
    #expect(log.lines.first?.contains("\(batch.image.path): flush failed") == true)
    bed.stop()
    batch.disk.reset()
    batch.disk.driverAccepted(BlockBed.modern)
    try bed.queue.start()
    // What the failed sync was to cover, another has to.
    #expect(try bed.flush().status == 0)
    #expect(batch.recorder.operations.filter { $0 == .sync }.count == 3)
  }

  @Test(
    "a failed sync is told once, whatever was told just before",
    arguments: RecordedDisk.Engine.allCases)
  func failureIsTold(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let batch = try BlockBatch(
      engine, .init(failingSyncs: (0, .io), failingSector: (5, .noSpace)), log: log, started: true)
    for _ in 0..<3 { #expect(try batch.bed.write(5, pattern(512)).status == 1) }
    for _ in 0..<3 { #expect(try batch.bed.flush().status == 1) }
    #expect(
      log.lines.first
        == "\(batch.image.path): write of 512 bytes at 2560: No space left on device")
    #expect(
      log.lines.filter { $0.contains("flush") } == [
        "\(batch.image.path): flush failed, and all will until the driver resets the disk: "
          + "Input/output error"
      ])
  }

  @Test(
    "a failed sync fails the writes that wanted it in write-through mode, and those after them",
    arguments: RecordedDisk.Engine.allCases)
  func failedWriteThrough(engine: RecordedDisk.Engine) throws {
    let batch = try BlockBatch(
      engine, .init(failingSyncs: (1, .noSpace), failingSyncCount: 1), accepted: .version1,
      started: true)
    #expect(try batch.bed.write(1, pattern(512)).status == 0)
    #expect(try batch.bed.write(2, pattern(512)).status == 1)
    #expect(try batch.bed.write(3, pattern(512)).status == 1)
    #expect(try batch.bed.read(3, 512).status == 0)
  }

  @Test("a failed sync on one queue fails the flushes of all", arguments: BlockVariant.engines)
  func failureIsTheDisks(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 65536)
    let recorder = BlockRecorder(.init(failingSyncs: (0, .io), failingSyncCount: 1))
    let disk = try RecordedDisk(image, variant.engine == .threads ? .threads : .ring, recorder)
    let beds = [try BlockBed(disk), try BlockBed(disk, index: 1)]
    #expect(try beds[0].flush().status == 1)
    #expect(try beds[1].flush().status == 1)
    #expect(recorder.operations == [.sync])
  }

  @Test(
    "a transfer that fails is an error, and the next one is not",
    arguments: RecordedDisk.Engine.allCases)
  func failedTransfer(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let start = ContinuousClock.now
    let batch = try BlockBatch(engine, .init(failingSector: (5, .io)), log: log)
    let (statuses, _) = try batch.run([
      (BlockType.write, 4), (BlockType.write, 5), (BlockType.read, 5), (BlockType.write, 6),
      (BlockType.flush, 0),
    ])
    #expect(statuses == [0, 1, 1, 0, 0])
    #expect(batch.disk.statistics[0].errors == 2)
    #expect(log.lines.count <= lineLimit(since: start))
    #expect(log.lines.first?.contains("write of 512 bytes at 2560") == true)
  }

  @Test(
    "what a ring does not take is done without it", arguments: [1, 2, 3, 4, 5, 6, 7, 8, 100, 1000])
  func refusingRing(refusals: Int) throws {
    // All are there before the ring is asked for anything, so that it refuses transfers and syncs, too.
    let batch = try BlockBatch(.ring, .init(refusals: refusals))
    let requests = (0..<4).flatMap { [(BlockType.write, $0), (BlockType.flush, 0)] }
    let (statuses, _) = try batch.run(requests)
    #expect(statuses == Array(repeating: 0, count: 8))
    #expect(batch.recorder.operations.contains(.sync))
    for sector in 0..<4 {
      #expect(
        try batch.image.bytes(at: sector * 512, count: 512) == pattern(512, seed: sector * 2))
    }
    batch.bed.stop()
    try batch.bed.queue.start()
    #expect(try batch.bed.flush().status == 0)
  }

  @Test("a ring of the kernel that takes nothing refuses what does not fit, and tells of each")
  func refusingKernel() throws {
    let image = try TestImage(byteCount: 65536)
    let file = try FileDescriptor.open(image.path, .readWrite)
    // It is never enabled, so the kernel takes nothing from it.
    var ring = try IOUring(entries: 8, descriptor: file.raw)
    for tag in 0..<20 { ring.sync(tag: tag) }
    ring.enter(wait: true, timeout: nil)
    var refused: [Int] = []
    while let completion = ring.next() {
      #expect(completion.result == -EAGAIN)
      refused.append(completion.tag)
    }
    #expect(refused == Array(8..<20))
  }

  @Test(
    "short transfers go on where they stopped", arguments: RecordedDisk.Engine.allCases,
    BlockBatch.seeds)
  func shortTransfers(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try BlockBatch(engine, .init(pieceByteCount: 1536, seed: seed), started: true)
    let bytes = pattern(8192, seed: 4)
    #expect(try batch.bed.write(8, bytes).status == 0)
    #expect(try batch.image.bytes(at: 4096, count: 8192) == bytes)
    #expect(try batch.bed.read(8, 8192) == BlockAnswer(status: 0, written: 8193, data: bytes))
    #expect(
      batch.recorder.operations
        == stride(from: 8, to: 24, by: 3).map { .write($0) }
        + stride(from: 8, to: 24, by: 3).map { .read($0) })
  }

  @Test("a full file system is an error, and what fits is served", arguments: BlockVariant.engines)
  func fullFileSystem(variant: BlockVariant) throws {
    // In a namespace of its own, so that it takes no rights and leaves nothing behind.
    let holder = try Command(
      "unshare",
      [
        "--user", "--map-root-user", "--mount", "sh", "-c",
        "mount -t tmpfs -o size=256k none /mnt && truncate -s 4M /mnt/disk.img && echo made && exec sleep 1200",
      ]
    ).start()
    try #require(try holder.awaitOutput("made"), "no small file system")
    let log = LineCollector()
    var options = BlockOptions(path: "/proc/\(holder.process)/root/mnt/disk.img")
    options.engine = variant.engine
    options.onTrouble = log.hook
    let bed = try BlockBed(try BlockDevice(name: "block0", options: options))
    var failed = 0
    for index in 0..<8 {
      let answer = try bed.write(UInt64(index * 128), pattern(65536, seed: index))
      if answer.status != 0 { failed += 1 }
    }
    #expect(failed >= 4 && failed < 8)
    #expect(log.lines.first?.hasSuffix("No space left on device") == true)
    #expect(try bed.read(0, 512).data == pattern(512, seed: 0))
    #expect(try bed.write(0, pattern(512, seed: 99)).status == 0)
    #expect(try bed.flush().status == 0)
  }
}
