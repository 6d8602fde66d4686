// SPDX-License-Identifier: Apache-2.0
//
// When is a write durable? Asserted as the order of what the engines do to the image, with how many chains
// the driver could see as used at each step.

import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("Durability", .timeLimit(.minutes(20)))
struct BlockDurabilityTests {
  @Test(
    "a write is complete without a sync in write-back mode", arguments: RecordedDisk.Engine.allCases
  )
  func writeback(engine: RecordedDisk.Engine) throws {
    let batch = try BlockBatch(engine)
    let (statuses, _) = try batch.run([(BlockType.write, 3), (BlockType.write, 9)])
    #expect(statuses == [0, 0])
    #expect(batch.recorder.operations == [.write(3), .write(9)])
  }

  @Test(
    "a flush is one sync, started after the writes before it, and shown after it has ended",
    arguments: RecordedDisk.Engine.allCases, BlockBatch.seeds)
  func flush(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try BlockBatch(engine, .init(seed: seed), started: true)
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
    arguments: RecordedDisk.Engine.allCases, BlockBatch.seeds)
  func withoutFlush(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    try checkWriteThrough(BlockBatch(engine, .init(seed: seed), accepted: .version1))
  }

  @Test(
    "after the driver has set writeback to 0 each write is durable before it is shown",
    arguments: RecordedDisk.Engine.allCases, BlockBatch.seeds)
  func writeThrough(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try BlockBatch(engine, .init(seed: seed))
    #expect(batch.disk.setWriteback(false))
    // There was nothing to make durable, but this process does not know that.
    #expect(batch.recorder.operations == [.sync])
    try checkWriteThrough(batch, from: 2)
  }

  @Test(
    "with cache=writethrough and directsync each write is durable, whatever the driver accepts or chooses",
    arguments: RecordedDisk.Engine.allCases, [BlockOptions.Cache.writethrough, .directsync])
  func cappedToWriteThrough(engine: RecordedDisk.Engine, cache: BlockOptions.Cache) throws {
    for accepted in [[.version1], [.version1, .blockFlush], BlockBed.modern] as [Features] {
      try checkWriteThrough(BlockBatch(engine, accepted: accepted, cache: cache))
    }
    let chosen = try BlockBatch(engine, cache: cache)
    #expect(chosen.disk.setWriteback(true))
    #expect(!chosen.disk.state.isWriteback)
    try checkWriteThrough(chosen)
    // The legacy driver that has barriers to send, and may never send one.
    let legacy = try BlockBatch(engine, accepted: .blockBarrier, isLegacy: true, cache: cache)
    try checkWriteThrough(legacy)
  }

  @Test("with cache=unsafe nothing is synced", arguments: RecordedDisk.Engine.allCases)
  func neverSynced(engine: RecordedDisk.Engine) throws {
    for accepted in [.version1, BlockBed.modern] as [Features] {
      let batch = try BlockBatch(engine, accepted: accepted, cache: .neverSynced, started: true)
      #expect(try batch.bed.write(3, pattern(512)).status == 0)
      if accepted == BlockBed.modern {
        #expect(try batch.bed.flush().status == 0)
        #expect(batch.disk.setWriteback(false))
        #expect(!batch.disk.state.isWriteback)
      }
      #expect(try batch.bed.write(4, pattern(512)).status == 0)
      #expect(batch.recorder.operations == [.write(3), .write(4)])
    }
    let legacy = try BlockBatch(
      engine, accepted: .blockBarrier, isLegacy: true, cache: .neverSynced)
    #expect(try legacy.run([(BlockType.write | BlockType.barrier, 5)]).statuses == [0])
    #expect(legacy.recorder.operations == [.write(5)])
  }

  @Test(
    "the mode that the user chose is the one that the driver reads",
    arguments: BlockOptions.Cache.allCases)
  func shownMode(cache: BlockOptions.Cache) throws {
    let image = try TestImage(byteCount: 65536)
    var options = image.options
    options.cache = cache
    let log = LineCollector()
    options.onTrouble = log.hook
    let device = try blockDevice(options)
    let isWriteback: UInt8 = cache == .writethrough || cache == .directsync ? 0 : 1
    #expect(device.configuration()[32] == isWriteback)
    device.driverAccepted(BlockBed.modern)
    #expect(device.configuration()[32] == isWriteback)
    // Where the user has said what holds, a driver from before this process changes nothing.
    device.driverReturned()
    #expect(log.lines.count == (cache == .writeback || cache == .none ? 1 : 0), "\(log.lines)")
  }

  @Test(
    "switching to write-through makes durable what was given back before, and is over only then",
    arguments: RecordedDisk.Engine.allCases)
  func switchToWriteThrough(engine: RecordedDisk.Engine) throws {
    let batch = try BlockBatch(engine, started: true)
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
    let batch = try BlockBatch(
      engine, .init(failingSyncs: (0, .io), failingSyncCount: 1), log: log, started: true)
    #expect(try batch.bed.write(3, pattern(512)).status == 0)
    #expect(batch.disk.setWriteback(false))
    #expect(try batch.bed.write(4, pattern(512)).status == 1)
    #expect(try batch.bed.flush().status == 1)
    #expect(log.lines.count == 1)
    #expect(log.lines.first?.contains("flush failed") == true)
  }

  /// - Parameter first: where in the record to begin.
  private func checkWriteThrough(_ batch: BlockBatch, from first: Int = 0) throws {
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

  // MARK: Flushes with nothing to do

  @Test(
    "a flush with nothing written since the last one syncs nothing; the first one does",
    arguments: RecordedDisk.Engine.allCases)
  func idleFlush(engine: RecordedDisk.Engine) throws {
    let batch = try BlockBatch(engine, started: true)
    for _ in 0..<3 { #expect(try batch.bed.flush().status == 0) }
    #expect(batch.recorder.operations == [.sync])
    for sector in 1...3 {
      #expect(try batch.bed.write(UInt64(sector), pattern(512)).status == 0)
      for _ in 0..<2 { #expect(try batch.bed.flush().status == 0) }
    }
    #expect(try batch.bed.read(1, 512).status == 0)
    #expect(try batch.bed.flush().status == 0)
    #expect(
      batch.recorder.operations
        == [.sync, .write(1), .sync, .write(2), .sync, .write(3), .sync, .read(1)])
  }

  @Test(
    "what one queue has written, another's flush makes durable",
    arguments: RecordedDisk.Engine.allCases)
  func flushOfAnotherQueue(engine: RecordedDisk.Engine) throws {
    let recorder = BlockRecorder()
    let image = try TestImage(byteCount: 65536)
    let disk = try RecordedDisk(image, engine, recorder)
    let beds = [try BlockBed(disk), try BlockBed(disk, index: 1)]
    #expect(try beds[0].flush().status == 0)
    #expect(try beds[1].flush().status == 0)
    for turn in 0..<4 {
      #expect(try beds[turn % 2].write(UInt64(turn), pattern(512)).status == 0)
      #expect(try beds[(turn + 1) % 2].flush().status == 0)
      #expect(try beds[turn % 2].flush().status == 0)
    }
    #expect(recorder.operations == [.sync] + (0..<4).flatMap { [.write($0), .sync] })
  }

  @Test(
    "a flush does not rely on another's sync that has not succeeded yet",
    arguments: RecordedDisk.Engine.allCases)
  func flushDuringSync(engine: RecordedDisk.Engine) throws {
    let recorder = BlockRecorder()
    let image = try TestImage(byteCount: 65536)
    let disk = try RecordedDisk(image, engine, recorder)
    let beds = [try BlockBed(disk), try BlockBed(disk, index: 1)]
    #expect(try beds[0].write(1, pattern(512)).status == 0)
    recorder.hang.set(true)
    for (index, bed) in beds.enumerated() {
      let header = bed.queue.space.take(16)
      let status = bed.queue.space.take(1)
      bed.memory.write(BlockBed.header(BlockType.flush, 0), at: header)
      #expect(bed.queue.offer([.readable(header, 16), .writable(status, 1)]))
      // The second begins while the first hangs, and is not given back at once.
      #expect(
        eventually {
          recorder.operations.filter { $0 == .sync }.count == index + 1 || beds[1].usedCount > 0
        })
    }
    #expect(eventually { recorder.operations.filter { $0 == .sync }.count == 2 })
    #expect(beds[1].usedCount == 0)
    recorder.hang.set(false)
    for bed in beds { #expect(try bed.queue.awaitUsed() != nil) }
  }

  @Test(
    "a write that has failed, a new size and a new mode are something to make durable",
    arguments: RecordedDisk.Engine.allCases)
  func otherChanges(engine: RecordedDisk.Engine) throws {
    let batch = try BlockBatch(engine, .init(failingSector: (5, .io)), started: true)
    func syncs() -> Int { batch.recorder.operations.filter { $0 == .sync }.count }
    #expect(try batch.bed.flush().status == 0)
    #expect(syncs() == 1)
    #expect(try batch.bed.write(5, pattern(512)).status == 1)
    #expect(try batch.bed.flush().status == 0)
    #expect(syncs() == 2)
    batch.disk.state.resize(to: 64)
    #expect(try batch.bed.flush().status == 0)
    #expect(syncs() == 3)
    #expect(try batch.bed.write(6, pattern(512)).status == 0)
    #expect(batch.disk.setWriteback(false))
    #expect(syncs() == 4)
    #expect(batch.disk.setWriteback(true))
    #expect(try batch.bed.flush().status == 0)
    #expect(syncs() == 4)
  }

  @Test(
    "many writes in write-through mode share syncs, but none that began before them",
    arguments: BlockBatch.seeds)
  func sharedSyncs(seed: UInt64?) throws {
    let batch = try BlockBatch(.ring, .init(seed: seed), accepted: .version1)
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
    let log = LineCollector()
    var options = image.options
    options.onTrouble = log.hook
    let old = try BlockDevice(name: "block0", options: options)
    old.driverAccepted(BlockBed.modern)
    old.driverReturned()
    #expect(log.lines.count == 1)
    #expect(log.lines.first?.hasPrefix("block0: each write is synced, since its driver") == true)
    #expect(log.lines.first?.contains("until the driver chooses write-back") == true)
    #expect(old.configuration()[32] == 0)
    #expect(old.statistics[0].reading().writes == .synced)
    // Until that driver says that it flushes.
    #expect(old.writeConfiguration(at: 32, [1]))
    old.driverReturned()
    #expect(old.configuration()[32] == 1)
    #expect(old.statistics[0].reading().writes == .flushed)
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
}
