// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

/// A bitmap that a test reads.
private final class Bitmap: Sendable {
  // Memory of a region, so that no pointer is needed here to read it.
  let memory: TestMemory
  let byteCount: Int

  init(byteCount: Int) {
    self.byteCount = byteCount
    memory = TestMemory(byteCount: UInt64(byteCount) + 64)
  }

  var log: DirtyLog {
    // SAFETY: the bitmap is the first bytes of the memory, which the log's owner keeps.
    unsafe DirtyLog(
      base: UnsafeMutableRawPointer(bitPattern: memory.guestMemory[0].hostAddress)
        ?? UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 1),
      byteCount: byteCount, owner: self)
  }

  /// The pages that are marked; then none is.
  func take() -> [UInt64] {
    let bytes = memory.bytes(at: 0, count: byteCount)
    memory.fill(0, at: 0, count: UInt64(byteCount))
    return (0..<UInt64(byteCount) * 8).filter { bytes[Int($0 / 8)] & 1 << ($0 % 8) != 0 }
  }

  /// Whether something was written behind the bitmap.
  var isOverrun: Bool { memory.bytes(at: UInt64(byteCount), count: 64).contains { $0 != 0 } }
}

@Suite("The dirty log has every page that the device wrote", .timeLimit(.minutes(20)))
struct DirtyLogTests {
  @Test("bit by bit, at borders, to its end and no further")
  func marks() {
    let bitmap = Bitmap(byteCount: 4)
    let log = bitmap.log
    log.mark(0, count: 0)
    #expect(bitmap.take() == [])
    log.mark(0, count: 1)
    log.mark(4095 + 4096, count: 2)
    #expect(bitmap.take() == [0, 1, 2])
    log.mark(8 * 4096, count: 4096)
    #expect(bitmap.take() == [8])
    log.mark(30 * 4096, count: 100 * 4096)
    #expect(bitmap.take() == [30, 31])
    log.mark(32 * 4096, count: 4096)
    log.mark(UInt64.max, count: 2)
    log.mark(1, count: UInt64.max)
    #expect(bitmap.take().count == 32)
    #expect(!bitmap.isOverrun)
    let empty = Bitmap(byteCount: 0)
    empty.log.mark(0, count: UInt64.max)
    #expect(!empty.isOverrun)
  }

  @Test(
    "what a chain's bytes were written to, and the used side of the ring",
    arguments: RingFormat.allCases)
  func chains(format: RingFormat) throws {
    let bed = try RingBed(format, size: 8)
    let bitmap = Bitmap(byteCount: 16)
    bed.queue.dirtyLog = bitmap.log
    // Buffers are on pages 0 to 15, the ring from page 16 on.
    #expect(
      bed.offer([
        .readable(0x1000, 4096), .writable(0x3ff0, 0x20), .writable(0x8000, 0x3000),
      ]))
    #expect(try bed.pop())
    #expect(bitmap.take() == [], "taking writes nothing")
    bed.stage(written: 0x20 + 0x1001)
    #expect(
      bitmap.take() == [3, 4, 8, 9, 10],
      "what was written, the end where a status may be, and not the ring yet")
    bed.publish()
    let ring = bitmap.take()
    switch bed.plan.layout {
    case .split(_, _, let used): #expect(ring == [used >> 12])
    case .packed(let descriptors, _, _): #expect(ring == [descriptors >> 12])
    }
    bed.queue.disableKicks()
    #expect(bitmap.take() == ring)
    #expect(try !bed.enableKicks())
    #expect(bitmap.take() == ring)
    bed.queue.dirtyLog = nil
    try bed.serve(1)
    #expect(bitmap.take() == [])
  }

  @Test("a buffer that crosses regions is marked in each of them")
  func crossing() throws {
    let memory = try TestMemory([0..<0x4000, 0x4000..<0x8000])
    var space = GuestSpace(0..<0x1000)
    var driver = Driver(.split(size: 8, in: &space), memory: memory, features: .version1)
    let bitmap = Bitmap(byteCount: 16)
    var queue = try Virtqueue(
      driver.configuration, memory: memory.guestMemory, dirtyLog: bitmap.log)
    var chain = Chain()
    let offered = driver.offer([.writable(0x3fff, 2)])
    let taken = try queue.pop(into: &chain)
    #expect(offered && taken)
    queue.push(chain, written: 2)
    #expect(bitmap.take() == [0, 3, 4])
  }
}
