// SPDX-License-Identifier: Apache-2.0
//
// Requests are given back in the order in which they were made available, whatever order storage completes them
// in. So a process that takes a queue over from one that was killed goes on at the used index, and each request is
// done, the ones in flight perhaps twice.
//
// A kill is a copy of guest memory, taken on the queue's thread between two of its steps: what is in the copy is all
// that is left, and another disk goes on there.

import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("Requests are given back in order", .timeLimit(.minutes(20)))
struct BlockOrderTests {
  /// Requests of three descriptors each, in a ring that none of them wraps.
  private static let count = 20
  private static let size: UInt16 = 64

  /// Guest memory at some moment, and what had been done to the image by then.
  private struct Moment: Sendable {
    var memory: [UInt8]
    var events: [BlockEvent]
  }

  private static func operation(_ request: Int) -> BlockOperation {
    request % 3 == 2 ? .read(request) : .write(request)
  }

  /// A queue with its requests, and where it keeps them.
  private struct Bed {
    let queue: QueueBed
    let statuses: [UInt64]

    init(_ disk: RecordedDisk, _ format: QueueFormat) throws {
      disk.driverAccepted(BlockBed.modern)
      queue = try QueueBed(
        disk, format, size: BlockOrderTests.size, features: [.eventIndex], byteCount: 0x8000,
        started: false)
      var statuses: [UInt64] = []
      for index in 0..<BlockOrderTests.count {
        let place = queue.space.take(1024, alignment: 1024)
        let isRead = index % 3 == 2
        queue.memory.write(
          BlockBed.header(isRead ? BlockType.read : BlockType.write, UInt64(index)), at: place)
        queue.memory.store(BlockAnswer.untouched, at: place + 600)
        statuses.append(place + 600)
        let data = DriverBuffer(address: place + 16, byteCount: 512, isWritable: isRead)
        try #require(
          queue.offer(
            [.readable(place, 16), data, .writable(place + 600, 1)], token: UInt64(index)))
      }
      self.statuses = statuses
    }
  }

  /// How many requests are given back, as guest memory says: all of them the first ones.
  private static func usedCount(_ memory: TestMemory, _ plan: RingPlan) -> Int {
    switch plan.layout {
    case .split(_, let available, let used):
      let count = Int(memory.load(UInt16.self, at: used + 2))
      for index in 0..<UInt64(count) {
        let head: UInt16 = memory.load(UInt16.self, at: available + 4 + index * 2)
        #expect(memory.load(UInt32.self, at: used + 4 + index * 8) == UInt32(head))
      }
      return count
    case .packed(let descriptors, _, _):
      var count = 0
      // Used: both marks, in the first round.
      while count < Self.count,
        memory.load(UInt16.self, at: descriptors + UInt64(count) * 48 + 14) & 0x8080 == 0x8080
      {
        // The id stands in the last of the three descriptors as well, where the device writes nothing.
        let place = descriptors + UInt64(count) * 48
        #expect(
          memory.load(UInt16.self, at: place + 12) == memory.load(UInt16.self, at: place + 44))
        count += 1
      }
      return count
    }
  }

  @Test(
    "at every moment, and whoever goes on at the used index loses none",
    arguments: [QueueFormat.split, .packed], [1, 2, 3, 4, 5, 6] as [UInt64])
  func killed(format: QueueFormat, seed: UInt64) throws {
    let recorder = BlockRecorder(.init(seed: seed))
    let disk = try RecordedDisk(try TestImage(byteCount: 65536), .ring, recorder)
    let bed = try Bed(disk, format)
    let byteCount = Int(bed.statuses[Self.count - 1]) + 1
    let moments = Mutex<[Moment]>([])
    let memory = bed.queue.memory
    recorder.watch {
      let moment = Moment(
        memory: memory.bytes(at: 0, count: byteCount), events: recorder.events)
      moments.withLock { $0.append(moment) }
    }
    try bed.queue.start()
    for index in 0..<Self.count {
      #expect(try bed.queue.awaitUsed()?.token == UInt64(index))
    }
    bed.queue.stop()
    let seen = moments.withLock { $0 }
    // Completions did overtake each other.
    let ends = recorder.events.filter(\.isEnd).map(\.operation)
    #expect(ends != (0..<Self.count).map(Self.operation))
    #expect(seen.count == 2 * Self.count)
    for moment in seen { try goOn(moment, bed, format) }
  }

  /// Goes on where guest memory says that the queue stood.
  private func goOn(_ moment: Moment, _ bed: Bed, _ format: QueueFormat) throws {
    let memory = TestMemory(byteCount: UInt64(moment.memory.count))
    memory.write(moment.memory, at: 0)
    let plan = bed.queue.plan
    let start = Self.usedCount(memory, plan)
    // What was given back had been done.
    for request in 0..<start {
      #expect(moment.events.contains { $0.operation == Self.operation(request) && $0.isEnd })
      #expect(memory.load(UInt8.self, at: bed.statuses[request]) == 0)
    }
    let slot = UInt16(format == .packed ? start * 3 : start)
    let queue = try Virtqueue(
      QueueConfiguration(
        layout: plan.layout, size: Self.size,
        features: format.features.union([.eventIndex]),
        position: RingPosition(nextAvailable: slot, nextUsed: slot)),
      memory: memory.guestMemory)
    let recorder = BlockRecorder()
    let disk = try RecordedDisk(try TestImage(byteCount: 65536), .ring, recorder)
    disk.driverAccepted(BlockBed.modern)
    let running = try disk.start(queue, index: 0, wiring: QueueWiring(kick: nil, call: nil))
    #expect(eventually { Self.usedCount(memory, plan) == Self.count })
    _ = running.stop()
    #expect(recorder.operations == (start..<Self.count).map(Self.operation))
    for status in bed.statuses { #expect(memory.load(UInt8.self, at: status) == 0) }
  }

  @Test("a flush waits for nothing but itself, and what is behind it is given back after it")
  func flushBetween() throws {
    for seed in BlockBatch.seeds {
      let batch = try BlockBatch(.ring, .init(seed: seed))
      let requests = (0..<16).map { ($0 % 4 == 3 ? BlockType.flush : BlockType.write, $0) }
      let (statuses, order) = try batch.run(requests)
      #expect(statuses == Array(repeating: 0, count: 16))
      #expect(order == Array(0..<16))
    }
  }

  @Test("what was prepared is submitted before a write that may wait")
  func nothingIsLeftBehind() throws {
    let batch = try BlockBatch(.spot)
    let (statuses, _) = try batch.run(
      (0..<16).map { ($0 % 2 == 0 ? BlockType.read : BlockType.write, $0) })
    #expect(statuses == Array(repeating: 0, count: 16))
    #expect(batch.recorder.leftBehind == 0)
    #expect(batch.recorder.operations == (0..<16).map { $0 % 2 == 0 ? .read($0) : .write($0) })
  }

  @Test("after attempts on the spot that failed, so many transfers go without one")
  func luck() {
    var luck = SpotLuck()
    var tried: [Int] = []
    for turn in 0..<200 where luck.isWorthIt() {
      tried.append(turn)
      luck.note(false)
    }
    #expect(tried.prefix(5) == [0, 2, 5, 9, 14])
    while true {
      let isWorthIt = luck.isWorthIt()
      if isWorthIt { break }
    }
    luck.note(true)
    for _ in 0..<10 {
      let isWorthIt = luck.isWorthIt()
      #expect(isWorthIt)
      luck.note(true)
    }
  }
}
