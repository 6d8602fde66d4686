// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("Chains come back in the order that was agreed on", .timeLimit(.minutes(20)))
struct OrderTests {
  @Test("without IN_ORDER in the order of completion", arguments: RingFormat.allCases)
  func anyOrder(format: RingFormat) throws {
    let bed = try RingBed(format)
    for round in 0..<10 {
      for token in UInt64(0)..<4 { #expect(bed.offer(token: token)) }
      for number in 0..<4 { #expect(try bed.pop(number)) }
      for number in [2, 0, 3, 1] { bed.push(number) }
      #expect(try bed.collectAll() == [2, 0, 3, 1], "round \(round)")
    }
  }

  @Test("without IN_ORDER, chains of different lengths", arguments: RingFormat.allCases)
  func anyOrderOfLengths(format: RingFormat) throws {
    let bed = try RingBed(format, size: 16)
    for round in 0..<20 {
      for token in 0..<4 {
        let buffers = Array(repeating: DriverBuffer.readable(bed.buffers, 4), count: token + 1)
        #expect(bed.offer(buffers, token: UInt64(token)))
      }
      for number in 0..<4 { #expect(try bed.pop(number)) }
      for number in [3, 1, 0, 2] { bed.push(number) }
      #expect(try bed.collectAll() == [3, 1, 0, 2], "round \(round)")
      #expect(bed.driver.freeCount == 16)
    }
  }

  @Test("IN_ORDER: a chain done early waits for the older ones", arguments: RingFormat.allCases)
  func inOrder(format: RingFormat) throws {
    let bed = try RingBed(format, features: .inOrder)
    for round in 0..<10 {
      for token in UInt64(0)..<4 {
        #expect(bed.offer([.writable(bed.buffers, 16)], token: token))
      }
      for number in 0..<4 { #expect(try bed.pop(number)) }
      bed.push(2, written: 12)
      bed.push(1, written: 11)
      #expect(try bed.collect() == nil)
      #expect(!bed.needsCall(), "nothing became visible")
      #expect(bed.queue.inFlightCount == 4)
      bed.push(0, written: 10)
      var written: [UInt32] = []
      while let used = try bed.collect() {
        #expect(used.token == UInt64(written.count))
        written.append(used.written)
      }
      #expect(written == [10, 11, 12], "round \(round)")
      #expect(bed.needsCall())
      bed.push(3, written: 13)
      #expect(bed.needsCall())
      #expect(try bed.collect()?.written == 13)
    }
  }

  @Test(
    "IN_ORDER: the last chain taken can be given back to the ring", arguments: RingFormat.allCases)
  func inOrderUnpop(format: RingFormat) throws {
    let bed = try RingBed(format, features: .inOrder)
    for token in UInt64(0)..<30 {
      #expect(bed.offer(token: token))
      #expect(bed.offer(token: 1000 + token))
      #expect(try bed.pop(0))
      #expect(try bed.pop(1))
      bed.unpop(1)
      bed.push(0)
      #expect(try bed.pop(1))
      bed.unpop(1)
      #expect(try bed.pop(2))
      bed.push(2)
      #expect(try bed.collectAll() == [token, 1000 + token])
    }
  }
}

@Suite("Chains that were taken can be given back to the ring", .timeLimit(.minutes(20)))
struct UnpopTests {
  @Test("and are taken again, several of them, across the wrap", arguments: RingFormat.allCases)
  func unpop(format: RingFormat) throws {
    let bed = try RingBed(format, size: 8)
    for round in UInt64(0)..<30 {
      for token in 0..<3 {
        let buffers = Array(repeating: DriverBuffer.readable(bed.buffers, 4), count: token + 1)
        #expect(bed.offer(buffers, token: round * 10 + UInt64(token)))
      }
      for number in 0..<3 { #expect(try bed.pop(number)) }
      let ids = (0..<3).map { bed.id($0) }
      bed.unpop(2)
      bed.unpop(1)
      #expect(bed.queue.inFlightCount == 1)
      #expect(try bed.hasMore())
      #expect(try bed.pop(1))
      #expect(try bed.pop(2))
      #expect((0..<3).map { bed.id($0) } == ids)
      for number in 0..<3 { bed.push(number) }
      #expect(try bed.collectAll() == [round * 10, round * 10 + 1, round * 10 + 2])
    }
  }

  @Test("with an older chain used in the meantime", arguments: RingFormat.allCases)
  func unpopAfterPush(format: RingFormat) throws {
    let bed = try RingBed(format, size: 4)
    for token in UInt64(0)..<20 {
      #expect(bed.offer(token: token * 2))
      #expect(bed.offer(token: token * 2 + 1))
      #expect(try bed.pop(0))
      #expect(try bed.pop(1))
      bed.push(0)
      bed.unpop(1)
      #expect(try bed.collectAll() == [token * 2])
      #expect(try bed.pop(1))
      bed.push(1)
      #expect(try bed.collectAll() == [token * 2 + 1])
    }
  }

  @Test("even after the driver broke the ring", arguments: [RingFormat.split])
  func unpopAfterFault(format: RingFormat) throws {
    let bed = try RingBed(format)
    #expect(bed.offer())
    #expect(try bed.pop())
    let ring = RawSplitRing(bed.plan, memory: bed.memory)
    ring.availableIndex = 0x4000
    #expect(throws: RingError.availableIndexJumped) { _ = try bed.pop(1) }
    bed.unpop(0)
    #expect(bed.queue.inFlightCount == 0)
    #expect(throws: RingError.availableIndexJumped) { _ = try bed.pop(0) }
  }
}

@Suite("Chains that belong together become visible together", .timeLimit(.minutes(20)))
struct BatchTests {
  @Test("with one publish", arguments: RingFormat.allCases)
  func publish(format: RingFormat) throws {
    let bed = try RingBed(format, size: 8)
    for round in UInt64(0)..<20 {
      for token in UInt64(0)..<3 { #expect(bed.offer(token: round * 10 + token)) }
      for number in 0..<3 { #expect(try bed.pop(number)) }
      for number in 0..<3 {
        bed.stage(number)
        #expect(try bed.collect() == nil, "staged only")
      }
      bed.publish()
      #expect(try bed.collectAll() == [0, 1, 2].map { round * 10 + $0 })
      bed.publish()
      #expect(try bed.collect() == nil)
    }
  }

  @Test("and the driver's batches are seen together as well", arguments: RingFormat.allCases)
  func driverBatch(format: RingFormat) throws {
    let bed = try RingBed(format, size: 8)
    for _ in 0..<20 {
      for _ in 0..<3 {
        #expect(bed.stageOffer())
        #expect(try !bed.pop())
      }
      bed.driver.publish()
      for number in 0..<3 { #expect(try bed.pop(number)) }
      #expect(try !bed.pop())
      for number in 0..<3 { bed.push(number) }
      #expect(try bed.collectAll().count == 3)
    }
  }

  @Test("a batch as long as the ring", arguments: RingFormat.allCases)
  func fullBatch(format: RingFormat) throws {
    let bed = try RingBed(format, size: 4)
    for _ in 0..<9 {
      for _ in 0..<4 { #expect(bed.stageOffer()) }
      #expect(!bed.stageOffer(), "the ring is full")
      bed.driver.publish()
      for number in 0..<4 { #expect(try bed.pop(number)) }
      for number in 0..<4 { bed.stage(number) }
      bed.publish()
      #expect(try bed.collectAll().count == 4)
    }
  }
}
