// SPDX-License-Identifier: Apache-2.0
//
// When is a write durable? Asserted as the order of what the engines do to the image, with how many chains
// the driver could see as used at each step.

import Glibc
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("Durability", .timeLimit(.minutes(20)))
struct BlockDurabilityTests {
  /// A bed whose requests are all there before the disk starts to look.
  private struct Batch {
    let image: TestImage
    let disk: RecordedDisk
    let bed: BlockBed
    let recorder: BlockRecorder

    init(
      _ engine: RecordedDisk.Engine, _ plan: BlockRecorder.Plan = BlockRecorder.Plan(),
      accepted: Features = BlockBed.modern, isLegacy: Bool = false, log: LineCollector? = nil
    ) throws {
      image = try TestImage(byteCount: 65536)
      recorder = BlockRecorder(plan)
      disk = try RecordedDisk(image, engine, recorder, isLegacy: isLegacy, log: log)
      bed = try BlockBed(disk, size: 64, accepted: accepted, started: false)
      recorder.watch(bed)
    }

    /// Offers requests by type and sector, writes of a sector each, and starts the disk.
    ///
    /// - Returns: the statuses in the order of the requests, and the requests in the order in which they
    ///   came back.
    func run(_ requests: [(type: UInt32, sector: Int)]) throws -> (statuses: [UInt8], order: [Int])
    {
      var places: [UInt64] = []
      for (index, request) in requests.enumerated() {
        let place = bed.queue.space.take(1024, alignment: 1024)
        places.append(place)
        bed.memory.write(BlockBed.header(request.type, UInt64(request.sector)), at: place)
        bed.memory.write(pattern(512, seed: index), at: place + 16)
        bed.memory.store(BlockAnswer.untouched, at: place + 600)
        var buffers = [DriverBuffer.readable(place, 16)]
        if request.type & 0xff == BlockType.write { buffers.append(.readable(place + 16, 512)) }
        if request.type & 0xff == BlockType.read { buffers.append(.writable(place + 16, 512)) }
        buffers.append(.writable(place + 600, 1))
        try #require(bed.queue.offer(buffers, token: UInt64(index)))
      }
      try bed.queue.start()
      var order: [Int] = []
      for _ in requests { order.append(Int(try #require(try bed.queue.awaitUsed()).token)) }
      return (places.map { bed.memory.load(UInt8.self, at: $0 + 600) }, order)
    }

    /// Where an event is in the record.
    func index(_ operation: BlockOperation, isEnd: Bool, from start: Int = 0) throws -> Int {
      try #require(
        recorder.events[start...].firstIndex { $0.operation == operation && $0.isEnd == isEnd },
        "\(operation) is not in \(recorder.events)")
    }
  }

  private static let seeds: [UInt64?] = [nil, 1, 2, 3, 4, 5]

  @Test(
    "a write is complete without a sync in write-back mode", arguments: RecordedDisk.Engine.allCases
  )
  func writeback(engine: RecordedDisk.Engine) throws {
    let batch = try Batch(engine)
    let (statuses, _) = try batch.run([(BlockType.write, 3), (BlockType.write, 9)])
    #expect(statuses == [0, 0])
    #expect(batch.recorder.operations == [.write(3), .write(9)])
  }

  @Test(
    "a flush is one sync, started after the writes before it, and shown after it has ended",
    arguments: RecordedDisk.Engine.allCases, seeds)
  func flush(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try Batch(engine, .init(seed: seed))
    try batch.bed.queue.start()
    #expect(try batch.bed.write(3, pattern(512)).status == 0)
    #expect(try batch.bed.write(9, pattern(512)).status == 0)
    #expect(try batch.bed.flush().status == 0)
    #expect(batch.recorder.operations == [.write(3), .write(9), .sync])
    let events = batch.recorder.events
    let begin = try batch.index(.sync, isEnd: false)
    let end = try batch.index(.sync, isEnd: true)
    #expect(try batch.index(.write(3), isEnd: true) < begin)
    #expect(try batch.index(.write(9), isEnd: true) < begin)
    #expect(events[begin].used == 2)
    #expect(events[end].used == 2)
  }

  @Test(
    "without FLUSH each write is durable before it is shown",
    arguments: RecordedDisk.Engine.allCases, seeds)
  func withoutFlush(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    try checkWriteThrough(Batch(engine, .init(seed: seed), accepted: .version1))
  }

  @Test(
    "after the driver has set writeback to 0 each write is durable before it is shown",
    arguments: RecordedDisk.Engine.allCases, seeds)
  func writeThrough(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try Batch(engine, .init(seed: seed))
    #expect(batch.disk.setWriteback(false))
    // There was nothing to make durable, but nobody knows that.
    #expect(batch.recorder.operations == [.sync])
    try checkWriteThrough(batch, from: 2)
  }

  @Test(
    "switching to write-through makes durable what was given back before, and is over only then",
    arguments: RecordedDisk.Engine.allCases)
  func switchToWriteThrough(engine: RecordedDisk.Engine) throws {
    let batch = try Batch(engine)
    try batch.bed.queue.start()
    #expect(try batch.bed.write(3, pattern(512)).status == 0)
    #expect(try batch.bed.write(9, pattern(512)).status == 0)
    #expect(batch.disk.setWriteback(false))
    // Write 9 is the last in the other mode; the sync begins after it was shown, in the new mode, and has
    // ended.
    #expect(batch.recorder.operations == [.write(3), .write(9), .sync])
    let events = batch.recorder.events
    let begin = try batch.index(.sync, isEnd: false)
    #expect(events[..<begin].allSatisfy { !$0.isWriteThrough })
    #expect(events[begin].isWriteThrough)
    #expect(events[begin].used == 2)
    #expect(events.last?.operation == .sync && events.last?.isEnd == true)

    // Again the same mode, and the way back, sync nothing.
    #expect(batch.disk.setWriteback(false))
    #expect(batch.disk.setWriteback(true))
    #expect(try batch.bed.write(4, pattern(512)).status == 0)
    #expect(batch.recorder.operations == [.write(3), .write(9), .sync, .write(4)])
    #expect(batch.disk.setWriteback(false))
    #expect(batch.recorder.operations == [.write(3), .write(9), .sync, .write(4), .sync])
  }

  @Test(
    "a switch to write-through whose sync fails fails what wants durability afterwards",
    arguments: RecordedDisk.Engine.allCases)
  func failedSwitch(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let batch = try Batch(
      engine, .init(failingSyncs: (0, .io), failingSyncCount: 1), log: log)
    try batch.bed.queue.start()
    #expect(try batch.bed.write(3, pattern(512)).status == 0)
    #expect(batch.disk.setWriteback(false))
    #expect(try batch.bed.write(4, pattern(512)).status == 1)
    #expect(try batch.bed.flush().status == 1)
    #expect(log.lines.count == 1)
    #expect(log.lines.first?.contains("flush failed") == true)
  }

  /// - Parameter first: where in the record to begin.
  private func checkWriteThrough(_ batch: Batch, from first: Int = 0) throws {
    try batch.bed.queue.start()
    for sector in 1...3 {
      #expect(try batch.bed.write(UInt64(sector), pattern(512)).status == 0)
    }
    #expect(try batch.bed.read(1, 512).status == 0)
    #expect(
      batch.recorder.events[first...].filter { !$0.isEnd }.map(\.operation)
        == [.write(1), .sync, .write(2), .sync, .write(3), .sync, .read(1)])
    var start = first
    for sector in 1...3 {
      let written = try batch.index(.write(sector), isEnd: true, from: start)
      let begun = try batch.index(.sync, isEnd: false, from: start)
      let ended = try batch.index(.sync, isEnd: true, from: start)
      #expect(written < begun)
      #expect(batch.recorder.events[ended].used == sector - 1)
      start = ended + 1
    }
  }

  @Test(
    "many writes in write-through mode share syncs, but none that began before them",
    arguments: seeds)
  func sharedSyncs(seed: UInt64?) throws {
    let batch = try Batch(.ring, .init(seed: seed), accepted: .version1)
    let (statuses, order) = try batch.run((0..<16).map { (BlockType.write, $0) })
    #expect(statuses == Array(repeating: 0, count: 16))
    let events = batch.recorder.events
    // How many chains are shown says which are: of each, some sync began after its write had ended and
    // ended before it was shown.
    for (shown, request) in order.enumerated() {
      let written = try batch.index(.write(request), isEnd: true)
      let isCovered = events.indices.contains { begun in
        guard begun > written, events[begun].operation == .sync, !events[begun].isEnd,
          let ended = try? batch.index(.sync, isEnd: true, from: begun)
        else { return false }
        return events[ended].used <= shown
      }
      #expect(isCovered, "write \(request) in \(events)")
    }
    if seed == nil { #expect(batch.recorder.operations.filter { $0 == .sync }.count == 1) }
  }

  @Test(
    "writeback is the driver's to choose, with CONFIG_WCE only", arguments: BlockVariant.engines)
  func mode(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 65536)
    let device = try variant.device(image)
    #expect(!device.writeConfiguration(at: 32, [0]))
    device.driverAccepted([.version1, .blockFlush])
    #expect(!device.writeConfiguration(at: 32, [0]))
    #expect(device.configuration()[32] == 1)
    device.driverAccepted(BlockBed.modern)
    #expect(!device.writeConfiguration(at: 0, [0]))
    #expect(!device.writeConfiguration(at: 31, [0, 0]))
    #expect(!device.writeConfiguration(at: 32, []))
    #expect(!device.writeConfiguration(at: 32, [2]))
    #expect(!device.writeConfiguration(at: .max, [0]))
    #expect(device.configuration()[32] == 1)
    #expect(device.writeConfiguration(at: 32, [0]))
    #expect(device.configuration()[32] == 0)
    #expect(device.writeConfiguration(at: 32, [1]))
    #expect(device.configuration()[32] == 1)
    // A front-end may show the next driver what it has read: that must be true.
    #expect(device.writeConfiguration(at: 32, [0]))
    device.reset()
    #expect(device.configuration()[32] == 0)
    device.driverAccepted(BlockBed.modern)
    device.driverReturned()
    #expect(device.configuration()[32] == 0)
    // One that does not know of modes flushes.
    device.driverAccepted([.version1, .blockFlush])
    #expect(device.configuration()[32] == 1)
    // Without FLUSH there is one mode only.
    device.driverAccepted([.version1, .blockConfigWriteback])
    #expect(device.configuration()[32] == 0)
  }

  @Test("a disk whose driver was there before this process makes each write durable")
  func driverFromBefore() throws {
    let image = try TestImage(byteCount: 65536)
    let old = try BlockDevice(name: "block0", options: BlockOptions(path: image.path))
    old.driverAccepted(BlockBed.modern)
    old.driverReturned()
    #expect(old.configuration()[32] == 0)
    // Until that driver says that it flushes.
    #expect(old.writeConfiguration(at: 32, [1]))
    old.driverReturned()
    #expect(old.configuration()[32] == 1)
  }

  @Test("a disk whose driver this process has seen from its start stays in write-back")
  func driverFromItsStart() throws {
    let image = try TestImage(byteCount: 65536)
    let new = try BlockDevice(name: "block0", options: BlockOptions(path: image.path))
    new.reset()
    new.driverAccepted(BlockBed.modern)
    new.driverReturned()
    #expect(new.configuration()[32] == 1)
  }

  // MARK: Barriers

  @Test(
    "a barrier is drain, sync, do, sync, and nothing after it begins earlier",
    arguments: RecordedDisk.Engine.allCases, seeds)
  func barrier(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try Batch(
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
    "barriers one behind the other each get both syncs", arguments: RecordedDisk.Engine.allCases,
    seeds)
  func barriers(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try Batch(engine, .init(seed: seed), accepted: .blockBarrier, isLegacy: true)
    let (statuses, order) = try batch.run(
      (0..<4).map { (BlockType.write | BlockType.barrier, $0) })
    #expect(statuses == [0, 0, 0, 0])
    #expect(order == [0, 1, 2, 3])
    #expect(
      batch.recorder.operations == (0..<4).flatMap { [.sync, .write($0), .sync] })
  }

  @Test(
    "a barrier that reads, and one that cannot be served", arguments: RecordedDisk.Engine.allCases)
  func otherBarriers(engine: RecordedDisk.Engine) throws {
    let batch = try Batch(engine, accepted: [.blockBarrier], isLegacy: true)
    let (statuses, order) = try batch.run([
      (BlockType.write, 1), (BlockType.read | BlockType.barrier, 5),
      (BlockType.write | BlockType.barrier, 500), (BlockType.scsi | BlockType.barrier, 0),
      (BlockType.write, 2),
    ])
    #expect(statuses == [0, 0, 1, 2, 0])
    #expect(order == [0, 1, 2, 3, 4])
    #expect(batch.recorder.operations.prefix(4) == [.write(1), .sync, .read(5), .sync])
    #expect(batch.recorder.operations.last == .write(2))
  }

  @Test(
    "a barrier whose first sync fails is not done, and one whose second fails is not promised",
    arguments: RecordedDisk.Engine.allCases, [0, 1])
  func failingBarrier(engine: RecordedDisk.Engine, failing: Int) throws {
    let batch = try Batch(
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

  // MARK: Failure

  @Test(
    "a failed sync is an error, and so is every flush until the driver resets the disk",
    arguments: RecordedDisk.Engine.allCases)
  func failedFlush(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let batch = try Batch(
      engine, .init(failingSyncs: (1, .io), failingSyncCount: 1), log: log)
    let bed = batch.bed
    try bed.queue.start()
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
    #expect(try bed.flush().status == 0)
  }

  @Test(
    "a failed sync is told once, whatever was told just before",
    arguments: RecordedDisk.Engine.allCases)
  func failureIsTold(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let batch = try Batch(
      engine, .init(failingSyncs: (0, .io), failingSector: (5, .noSpace)), log: log)
    try batch.bed.queue.start()
    for _ in 0..<3 { #expect(try batch.bed.write(5, pattern(512)).status == 1) }
    for _ in 0..<3 { #expect(try batch.bed.flush().status == 1) }
    #expect(
      log.lines == [
        "\(batch.image.path): write of 512 bytes at 2560: No space left on device",
        "\(batch.image.path): flush failed, and all will until the driver resets the disk: "
          + "Input/output error",
      ])
  }

  @Test(
    "a failed sync fails the writes that wanted it in write-through mode, and those after them",
    arguments: RecordedDisk.Engine.allCases)
  func failedWriteThrough(engine: RecordedDisk.Engine) throws {
    let batch = try Batch(
      engine, .init(failingSyncs: (1, .noSpace), failingSyncCount: 1), accepted: .version1)
    try batch.bed.queue.start()
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
    let beds = [try BlockBed(disk), try BlockBed(disk)]
    #expect(try beds[0].flush().status == 1)
    #expect(try beds[1].flush().status == 1)
    #expect(recorder.operations == [.sync])
  }

  @Test(
    "a transfer that fails is an error, and the next one is not",
    arguments: RecordedDisk.Engine.allCases)
  func failedTransfer(engine: RecordedDisk.Engine) throws {
    let log = LineCollector()
    let batch = try Batch(engine, .init(failingSector: (5, .io)), log: log)
    let (statuses, _) = try batch.run([
      (BlockType.write, 4), (BlockType.write, 5), (BlockType.read, 5), (BlockType.write, 6),
      (BlockType.flush, 0),
    ])
    #expect(statuses == [0, 1, 1, 0, 0])
    #expect(batch.disk.statistics[0].errors == 2)
    #expect(log.lines.count == 1)
    #expect(log.lines.first?.contains("write of 512 bytes at 2560") == true)
  }

  @Test(
    "what a ring does not take is done without it", arguments: [1, 2, 3, 4, 5, 6, 7, 8, 100, 1000])
  func refusingRing(refusals: Int) throws {
    // All are there before the ring is asked for anything, so that it refuses transfers and syncs, too.
    let batch = try Batch(.ring, .init(refusals: refusals))
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
    "short transfers go on where they stopped", arguments: RecordedDisk.Engine.allCases, seeds)
  func shortTransfers(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try Batch(engine, .init(pieceByteCount: 1536, seed: seed))
    try batch.bed.queue.start()
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
        "mount -t tmpfs -o size=256k none /mnt && truncate -s 4M /mnt/disk.img && echo made && sleep 60",
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
