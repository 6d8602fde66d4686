// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("Calls are made when the driver wants them", .timeLimit(.minutes(20)))
struct CallTests {
  @Test(
    "without EVENT_IDX: one call for what was published, none twice", arguments: RingFormat.allCases
  )
  func plainCalls(format: RingFormat) throws {
    let bed = try RingBed(format)
    #expect(!bed.needsCall())
    try bed.serve(3)
    #expect(bed.needsCall())
    #expect(!bed.needsCall())
  }

  @Test(
    "suppressed calls are not made until they are allowed again", arguments: RingFormat.allCases)
  func suppression(format: RingFormat) throws {
    let bed = try RingBed(format)
    bed.driver.suppressCalls()
    try bed.serve(1)
    #expect(!bed.needsCall())
    #expect(bed.allowCalls(), "a used chain is waiting")
    #expect(try bed.collectAll().count == 1)
    #expect(!bed.allowCalls())
    try bed.serve(1)
    #expect(bed.needsCall())
  }

  @Test("EVENT_IDX: suppressed calls are not made", arguments: RingFormat.allCases)
  func eventSuppression(format: RingFormat) throws {
    let bed = try RingBed(format, features: .eventIndex)
    for _ in 0..<20 {
      bed.driver.suppressCalls()
      try bed.serve(1)
      #expect(!bed.needsCall())
      _ = try bed.collectAll()
    }
  }

  @Test("a chain that is staged and not visible causes no call, before or after its time")
  func stagedIsNotCalled() throws {
    for format in RingFormat.allCases {
      let bed = try RingBed(format, features: .eventIndex)
      // The driver wants a call with the second chain.
      _ = bed.requestCall(after: 2)
      for _ in 0..<3 { #expect(bed.offer()) }
      for number in 0..<3 { #expect(try bed.pop(number)) }
      bed.push(0)
      bed.stage(1)
      #expect(!bed.needsCall(), "only the first chain is visible, in \(format)")
      bed.publish()
      #expect(bed.needsCall(), "the second chain became visible, in \(format)")
      bed.push(2)
      #expect(!bed.needsCall())
    }
  }

  /// Every way to cut a ring of `size` slots into chains.
  static func cuts(_ size: Int) -> [[Int]] {
    size == 0 ? [[]] : (1...size).flatMap { first in cuts(size - first).map { [first] + $0 } }
  }

  @Test(
    "EVENT_IDX, packed: a call exactly when the wanted slot is passed, from everywhere",
    arguments: 1...5)
  func packedEventExhaustive(size: Int) throws {
    for start in 0..<size {
      for wrap in [true, false] {
        for cut in Self.cuts(size) {
          for wanted in 1...size {
            let bed = try RingBed(
              .packed, size: UInt16(size), features: .eventIndex, start: UInt16(start), wrap: wrap)
            #expect(!bed.requestCall(after: UInt16(wanted)))
            var published = 0
            for length in cut {
              let buffers = Array(repeating: DriverBuffer.readable(bed.buffers, 4), count: length)
              #expect(bed.offer(buffers))
              #expect(try bed.pop())
              bed.push()
              // The call is due when the slot numbered `wanted - 1` from here is covered.
              let due = published <= wanted - 1 && wanted - 1 < published + length
              published += length
              #expect(
                bed.needsCall() == due,
                "size \(size) start \(start) wrap \(wrap) cut \(cut) wanted \(wanted)")
            }
          }
        }
      }
    }
  }

  @Test("EVENT_IDX, split: a call exactly when the wanted index is passed, 2^16 included")
  func splitEventExhaustive() throws {
    for start in [UInt16(0), 5, 0x7fff, 0xfffc, 0xffff] {
      for wanted in UInt16(1)...8 {
        let bed = try RingBed(.split, size: 8, features: .eventIndex, start: start)
        #expect(!bed.requestCall(after: wanted))
        for number in UInt16(1)...8 {
          try bed.serve(1)
          #expect(bed.needsCall() == (number == wanted))
        }
      }
    }
  }

  @Test(
    "EVENT_IDX: a call is not lost when more slots pass between two questions than the ring has")
  func manySlotsBetweenQuestions() throws {
    // Chains of several descriptors: few chains, many slots.
    for first in 1...4 {
      for second in 1...4 {
        for wanted in UInt16(1)...4 {
          let bed = try RingBed(.packed, size: 4, features: .eventIndex)
          _ = bed.requestCall(after: wanted)
          for length in [first, second] {
            #expect(
              bed.offer(Array(repeating: DriverBuffer.readable(bed.buffers, 4), count: length)))
            #expect(try bed.pop())
            bed.push()
            // A driver that polls: it collects without asking for calls anew.
            #expect(try bed.collectAll().count == 1)
          }
          if first + second >= Int(wanted) {
            #expect(bed.needsCall(), "\(first) and \(second) slots, wanted \(wanted)")
          }
        }
      }
    }
  }

  @Test("EVENT_IDX, split: after 2^16 chains between two questions a call is due")
  func indexTurnsOverBetweenQuestions() throws {
    let bed = try RingBed(.split, size: 8, features: .eventIndex)
    _ = bed.requestCall(after: 1)
    for _ in 0..<65536 {
      try bed.serve(1)
      _ = try bed.collect()
    }
    #expect(bed.needsCall())
  }

  @Test("NOTIFY_ON_EMPTY: a call when the driver's chains run out, suppressed or not")
  func notifyOnEmpty() throws {
    for features in [Features.notifyOnEmpty, [.notifyOnEmpty, .eventIndex]] {
      let bed = try RingBed(.legacy, features: features)
      bed.driver.suppressCalls()
      for _ in 0..<2 { #expect(bed.offer()) }
      #expect(try bed.pop())
      bed.push()
      #expect(!bed.needsCall(), "one more is available")
      #expect(try bed.pop())
      bed.push()
      #expect(bed.needsCall(), "nothing is available any more")
      #expect(!bed.needsCall(), "nothing was published since")
    }
  }

  @Test("packed: event flags that EVENT_IDX would need, or that mean nothing, call rather than not")
  func packedFlagsWithoutFeature() throws {
    let bed = try RingBed(.packed)
    let ring = RawPackedRing(bed.plan, memory: bed.memory)
    for flags: UInt16 in [2, 3, 0xfffc | 2] {
      ring.driverEventWord = (offsetAndWrap: 0x7fff, flags: flags)
      try bed.serve(1)
      #expect(bed.needsCall())
      _ = try bed.collectAll()
    }
    ring.driverEventWord = (offsetAndWrap: 0, flags: 1)
    try bed.serve(1)
    #expect(!bed.needsCall())
  }
}

@Suite("Kicks are asked for when the device sleeps", .timeLimit(.minutes(20)))
struct KickTests {
  @Test("a new queue wants kicks", arguments: RingFormat.allCases)
  func startsWithKicks(format: RingFormat) throws {
    for features in [Features(), .eventIndex] {
      let bed = try RingBed(format, features: features)
      #expect(!bed.needsKick())
      #expect(bed.offer())
      #expect(bed.needsKick())
      #expect(!bed.needsKick())
    }
  }

  @Test("disabled kicks stay away until they are enabled", arguments: RingFormat.allCases)
  func disable(format: RingFormat) throws {
    for features in [Features(), .eventIndex] {
      let bed = try RingBed(format, features: features)
      #expect(bed.offer())
      #expect(bed.needsKick())
      bed.queue.disableKicks()
      #expect(bed.offer())
      #expect(!bed.needsKick(), "\(format), \(features)")
      #expect(try bed.enableKicks(), "chains came in between")
      #expect(try bed.hasMore())
      #expect(try bed.pop(0))
      #expect(try bed.pop(1))
      #expect(try !bed.enableKicks())
      #expect(try !bed.hasMore())
      #expect(bed.offer())
      #expect(bed.needsKick())
      #expect(try bed.hasMore())
    }
  }

  @Test("EVENT_IDX: a kick for the first chain of a batch, at every position", arguments: [3, 8])
  func eventKicks(size: UInt16) throws {
    let formats: [RingFormat] = size == 8 ? RingFormat.allCases : [.packed]
    for format in formats {
      let bed = try RingBed(format, size: size, features: .eventIndex)
      for step in 0..<40 {
        #expect(try !bed.enableKicks())
        for number in 0..<(1 + step % Int(size)) {
          #expect(bed.offer())
          #expect(bed.needsKick() == (number == 0))
        }
        while try bed.pop() { bed.push() }
        _ = try bed.collectAll()
      }
    }
  }

  @Test("NOTIFICATION_DATA: the words of a kick come apart as they were put together")
  func notificationData() {
    let split = NotificationData(rawValue: 0x8005_0003)
    #expect(split.queue == 3 && split.nextOffset == 5 && split.nextWrap)
    #expect(split.availableIndex == 0x8005)
    let packed = NotificationData(rawValue: 0x7fff_ffff)
    #expect(packed.queue == 0xffff && packed.nextOffset == 0x7fff && !packed.nextWrap)
  }
}
