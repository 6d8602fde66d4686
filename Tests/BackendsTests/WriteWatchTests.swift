// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Testing

@testable import Backends

@Suite struct WriteWatchTests {
  @Test("a read between writes is whole, and one beside a write is not")
  func beside() {
    let watch = WriteWatch()
    let before = watch.look(0, 8192)
    #expect(before != nil)
    #expect(watch.look(0, 8192) == before)
    watch.begin(4096, 512)
    #expect(watch.look(0, 8192) == nil)
    // Another block does not mind.
    #expect(watch.look(0, 4096) != nil)
    watch.end(4096, 512)
    #expect(watch.look(0, 8192) != nil)
    #expect(watch.look(0, 8192) != before)
  }

  @Test("a write over the end of a block counts in both")
  func across() {
    let watch = WriteWatch()
    watch.begin(4095, 2)
    #expect(watch.look(0, 1) == nil)
    #expect(watch.look(8191, 1) == nil)
    #expect(watch.look(8192, 1) != nil)
    watch.end(4095, 2)
    #expect(watch.look(0, 8192) != nil)
  }

  @Test(
    "several writes of a block are all waited for; writes of nothing and of very much are counted once"
  )
  func many() {
    let watch = WriteWatch()
    watch.begin(0, 512)
    watch.begin(512, 512)
    watch.end(0, 512)
    #expect(watch.look(0, 512) == nil)
    watch.end(512, 512)
    #expect(watch.look(0, 512) != nil)
    watch.begin(0, 0)
    #expect(watch.look(0, 512) != nil)
    watch.begin(1 << 40, 1 << 30)
    #expect(watch.look(0, 512) == nil)
    watch.end(1 << 40, 1 << 30)
    #expect(watch.look(0, 512) != nil)
  }

  @Test("a block can be written any number of times")
  func overflow() {
    let watch = WriteWatch(begun: .max)
    let before = watch.look(0, 8192)
    watch.begin(0, 512)
    #expect(watch.look(0, 8192) == nil)
    watch.end(0, 512)
    let after = watch.look(0, 8192)
    #expect(after != nil && after != before)
    watch.begin(0, 512)
    watch.end(0, 512)
    #expect(watch.look(0, 8192) != after)
    #expect(watch.look(0, 8192) != before)
  }

  @Test(
    "a disk's write is watched from before its first piece to after its last",
    arguments: RecordedDisk.Engine.allCases, BlockBatch.seeds)
  func aroundEachPiece(engine: RecordedDisk.Engine, seed: UInt64?) throws {
    let batch = try BlockBatch(engine, .init(pieceByteCount: 512, seed: seed))
    let watch = batch.disk.state.watchWrites()
    batch.recorder.watch(watch)
    try batch.bed.queue.start()
    // Each piece of a sector, and the last in another block than the first.
    #expect(try batch.bed.write(6, pattern(4 * 512)).status == 0)
    let events = batch.recorder.events
    #expect(batch.recorder.operations == [.write(6), .write(7), .write(8), .write(9)])
    let isWatched = events.allSatisfy { $0.isWatched }
    #expect(isWatched, "\(events)")
    #expect(watch.look(0, 8192) != nil)
    batch.bed.stop()
  }
}
