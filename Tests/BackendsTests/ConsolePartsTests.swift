// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Backends

@Suite("The parts of a console", .timeLimit(.minutes(20)))
struct ConsolePartsTests {
  private static let millisecond: UInt64 = 1_000_000

  /// Whether the last of these reads, each at its millisecond, is the way out.
  private func escapes(_ reads: [(UInt64, [UInt8])]) -> Bool {
    var detector = EscapeDetector()
    var isEscape = false
    for (time, bytes) in reads {
      #expect(!isEscape)
      isEscape = detector.isEscape(bytes.span, now: time * Self.millisecond)
    }
    return isEscape
  }

  @Test("three Ctrl-C within a second are the way out")
  func threeInTime() {
    #expect(escapes([(5000, [3]), (5400, [3]), (6000, [3])]))
    #expect(escapes([(0, [3]), (0, [3]), (0, [3])]))
    // The first one was too long ago, but not the last three.
    #expect(escapes([(0, [3]), (900, [3]), (1100, [3]), (1200, [3])]))
    // The reader was late.
    #expect(escapes([(0, [3, 3, 3])]))
    #expect(escapes([(0, [3]), (500, [3, 3])]))
  }

  @Test("fewer, slower or other keys are not")
  func notTheWayOut() {
    #expect(!escapes([(0, [3]), (1, [3])]))
    #expect(!escapes([(0, [3]), (600, [3]), (1200, [3])]))
    #expect(!escapes([(0, [3]), (1, [3]), (2, [65]), (3, [3])]))
    #expect(!escapes([(0, [3]), (1, [3]), (2, [65, 3])]))
    #expect(!escapes([(0, [3]), (1, [3]), (2, [3, 65])]))
  }

  @Test("after the way out was found, it takes three more")
  func again() {
    var detector = EscapeDetector()
    let results = (0..<6).map { detector.isEscape([UInt8(3)].span, now: UInt64($0)) }
    #expect(results == [false, false, true, false, false, true])
  }

  @Test("a buffer gives its bytes back in order, around its end and to its last place")
  func ring() {
    var ring = ByteRing(capacity: 5)
    var next: UInt8 = 0
    var expected: UInt8 = 0
    for count in [5, 3, 1, 4, 2, 5, 5] {
      let bytes = (0..<count).map { UInt8($0) &+ next }
      next &+= UInt8(count)
      ring.append(bytes + [99], count: count)
      #expect(ring.count == count)
      #expect(ring.free == 5 - count)
      while !ring.isEmpty {
        #expect(
          ring.storage[ring.front].elementsEqual(
            (0..<ring.front.count).map { UInt8($0) &+ expected }))
        expected &+= 1
        ring.removeFirst(1)
      }
    }
    #expect(expected == 25)
  }
}
