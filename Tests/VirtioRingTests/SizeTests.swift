// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("Rings of every size", .timeLimit(.minutes(20)))
struct SizeTests {
  @Test(
    "size 1: one chain at a time", arguments: RingFormat.allCases,
    [Features(), .eventIndex, .inOrder])
  func one(format: RingFormat, features: Features) throws {
    let bed = try RingBed(format, size: 1, features: features)
    for token in UInt64(0)..<20 {
      #expect(try !bed.enableKicks())
      #expect(!bed.allowCalls())
      #expect(bed.offer(token: token))
      #expect(!bed.offer())
      #expect(bed.needsKick())
      #expect(try bed.pop())
      #expect(try !bed.pop(1))
      bed.push()
      #expect(bed.needsCall())
      #expect(try bed.collectAll() == [token])
    }
  }

  @Test(
    "size 32768: all of it in flight, given back in any order, three times round",
    arguments: RingFormat.allCases, [Features(), .eventIndex, .inOrder])
  func largest(format: RingFormat, features: Features) throws {
    let size = 32768
    let bed = try RingBed(
      format, size: UInt16(size), features: features, indirectCapacity: 0, chainCount: size,
      segmentCapacity: 1)
    for round in 0..<3 {
      #expect(try !bed.enableKicks())
      for token in 0..<size {
        guard bed.stageOffer(token: UInt64(token)) else {
          Issue.record("chain \(token) found no room")
          return
        }
      }
      #expect(!bed.stageOffer())
      bed.driver.publish()
      #expect(bed.needsKick())
      for number in 0..<size {
        guard try bed.queue.pop(into: &bed.chains, at: number) else {
          Issue.record("chain \(number) is not there")
          return
        }
      }
      #expect(bed.queue.inFlightCount == size)
      bed.queue._checkInvariants()
      #expect(try !bed.queue.pop(into: &bed.chains, at: 0))
      #expect(!bed.requestCall(after: UInt16(size)))
      // From the middle, odd ones first.
      for step in 0..<size {
        bed.queue.push(bed.chains[(step * 5 + size / 2 + round) % size], written: 0)
      }
      bed.queue._checkInvariants()
      #expect(bed.queue.inFlightCount == 0)
      #expect(bed.needsCall())
      let tokens = try bed.collectAll()
      #expect(tokens.count == size)
      #expect(Set(tokens).count == size)
      if features.contains(.inOrder) { #expect(tokens == (0..<UInt64(size)).map { $0 }) }
    }
  }

  @Test("size 32768: one chain over all of the ring", arguments: [false, true])
  func longestChain(packed: Bool) throws {
    let bed = try RingBed(
      packed ? .packed : .split, size: 32768, indirectCapacity: 0, chainCount: 1,
      segmentCapacity: 32768)
    let buffers = Array(repeating: DriverBuffer.writable(bed.buffers, 2), count: 32768)
    for token in UInt64(0)..<3 {
      #expect(bed.offer(buffers, token: token))
      #expect(try bed.pop())
      #expect(bed.writableCount() == 32768)
      bed.push(written: 65536)
      #expect(try bed.collectAll() == [token])
    }
  }

  @Test(
    "packed: sizes that are no power of two",
    arguments: [2, 3, 5, 7, 100, 255, 257, 32767] as [UInt16])
  func odd(size: UInt16) throws {
    // From before the end of the first round to behind the end of the second.
    for start in [0, size - min(size, 4)] {
      for wrap in [true, false] {
        let bed = try RingBed(
          .packed, size: size, features: .eventIndex, start: start, wrap: wrap,
          indirectCapacity: 0, chainCount: 1)
        for token in 0..<UInt64(min(2 * Int(size) + 5, 600)) {
          #expect(try !bed.enableKicks())
          #expect(bed.offer(token: token))
          #expect(bed.needsKick())
          #expect(!bed.allowCalls())
          #expect(try bed.queue.pop(into: &bed.chains, at: 0))
          bed.queue.push(bed.chains[0], written: 0)
          #expect(bed.needsCall())
          let used = try bed.collect()
          #expect(used?.token == token)
        }
        bed.queue._checkInvariants()
      }
    }
  }
}
