// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

/// The error with which a queue is refused, or nil where it is made.
private func refusal(
  _ layout: RingLayout, size: UInt16, position: RingPosition = .start, memory: TestMemory
) -> RingError? {
  do {
    _ = try Virtqueue(
      QueueConfiguration(layout: layout, size: size, features: .version1, position: position),
      memory: memory.guestMemory)
    return nil
  } catch { return error }
}

@Suite("What is no ring is refused before it is touched", .timeLimit(.minutes(20)))
struct ConfigurationTests {
  let memory = TestMemory(byteCount: 0x100000)

  private func split(
    _ descriptors: UInt64 = 0, _ available: UInt64 = 0x80000, _ used: UInt64 = 0xa0000
  ) -> RingLayout {
    .split(descriptors: descriptors, available: available, used: used)
  }

  private func packed(
    _ descriptors: UInt64 = 0, _ driver: UInt64 = 0xa0000, _ device: UInt64 = 0xa0004
  ) -> RingLayout {
    .packed(descriptors: descriptors, driverEvent: driver, deviceEvent: device)
  }

  @Test("queue size 0, not a power of two, above the maximum (CVE-2026-50626)")
  func sizes() {
    for size in [UInt16(0), 3, 6, 255, 257, 32767, 32769, 65535] {
      #expect(refusal(split(), size: size, memory: memory) == .badSize, "\(size)")
    }
    for size in [UInt16(0), 32769, 65535] {
      #expect(refusal(packed(), size: size, memory: memory) == .badSize, "\(size)")
    }
    for size in [UInt16(1), 2, 256, 16384] {
      #expect(refusal(split(), size: size, memory: memory) == nil, "\(size)")
    }
    for size in [UInt16(1), 3, 255, 32767, 32768] {
      #expect(refusal(packed(), size: size, memory: memory) == nil, "\(size)")
    }
  }

  @Test("rings misaligned")
  func misaligned() {
    for layout in [split(8), split(0, 0x80001), split(0, 0x80000, 0xa0002)] {
      #expect(refusal(layout, size: 8, memory: memory) == .misaligned)
    }
    for layout in [packed(8), packed(0, 0xa0002), packed(0, 0xa0000, 0xa0006)] {
      #expect(refusal(layout, size: 8, memory: memory) == .misaligned)
    }
    #expect(refusal(split(16, 0x80002, 0xa0004), size: 8, memory: memory) == nil)
  }

  @Test("rings overlapping")
  func overlapping() {
    for layout in [
      split(0, 0x70), split(0x80000, 0x80000), split(0, 0x80000, 0x80014), split(0xa0000),
    ] {
      #expect(refusal(layout, size: 8, memory: memory) == .ringAreasOverlap)
    }
    for layout in [packed(0, 0x7c), packed(0, 0xa0000, 0xa0000), packed(0xa0000)] {
      #expect(refusal(layout, size: 8, memory: memory) == .ringAreasOverlap)
    }
    // Side by side is fine.
    #expect(refusal(split(0, 0x80, 0x98), size: 8, memory: memory) == nil)
    #expect(refusal(packed(0, 0x80, 0x84), size: 8, memory: memory) == nil)
  }

  @Test("rings outside memory, at its end, at the end of the address space")
  func outside() {
    for layout in [
      split(0x100000), split(0xfff90), split(0, 0xffff0), split(0, 0x80000, 0xffffc),
      split(UInt64.max - 15), split(0, UInt64.max - 1), split(0, 0x80000, UInt64.max - 3),
    ] {
      #expect(refusal(layout, size: 8, memory: memory) == .ringOutsideMemory)
    }
    for layout in [packed(0xfff90), packed(0, 0x100000), packed(0, 0xa0000, UInt64.max - 3)] {
      #expect(refusal(layout, size: 8, memory: memory) == .ringOutsideMemory)
    }
  }

  @Test("ring areas that cross regions are refused: a ring is used in place")
  func crossing() throws {
    let memory = try TestMemory([0..<0x1000, 0x1000..<0x2000])
    #expect(refusal(split(0xfc0, 0x1800, 0x1c00), size: 8, memory: memory) == .ringOutsideMemory)
    #expect(refusal(split(0xf80, 0x1800, 0x1c00), size: 8, memory: memory) == nil)
  }

  @Test("positions that a ring cannot have")
  func positions() {
    let far = RingPosition(nextAvailable: 9, nextUsed: 0)
    #expect(refusal(split(), size: 8, position: far, memory: memory) == .badPosition)
    let ahead = RingPosition(nextAvailable: 0, nextUsed: 1)
    #expect(refusal(split(), size: 8, position: ahead, memory: memory) == .badPosition)
    let wrapped = RingPosition(nextAvailable: 3, nextUsed: 0xfffd)
    #expect(refusal(split(), size: 8, position: wrapped, memory: memory) == nil)

    let bad = [
      RingPosition(nextAvailable: 8), RingPosition(nextAvailable: 0, nextUsed: 8),
      RingPosition(nextAvailable: 2, nextUsed: 3),
      RingPosition(nextAvailable: 3, nextUsed: 2, availableWrap: false, usedWrap: true),
      RingPosition(nextAvailable: 0xffff),
    ]
    for position in bad {
      #expect(refusal(packed(), size: 8, position: position, memory: memory) == .badPosition)
    }
    let good = [
      RingPosition(nextAvailable: 7), RingPosition(nextAvailable: 3, nextUsed: 3),
      RingPosition(nextAvailable: 2, nextUsed: 3, availableWrap: false, usedWrap: true),
      RingPosition(nextAvailable: 3, nextUsed: 3, availableWrap: false, usedWrap: true),
    ]
    for position in good {
      #expect(refusal(packed(), size: 8, position: position, memory: memory) == nil)
    }
  }

  @Test("legacy layout: the used ring stands at the next boundary (virtio 1.3, 2.7.2)")
  func legacyLayout() {
    // Descriptors, 6 bytes and 2 for each entry, then up to the next 4096.
    for (size, used): (UInt16, UInt64) in [
      (1, 0x1000), (8, 0x1000), (128, 0x1000), (256, 0x2000), (1024, 0x5000), (32768, 0x91000),
    ] {
      #expect(
        RingLayout.legacy(at: 0x7000, size: size)
          == .split(
            descriptors: 0x7000, available: 0x7000 + UInt64(size) * 16, used: 0x7000 + used))
    }
    #expect(
      RingLayout.legacy(at: 0, size: 8, alignment: 64)
        == .split(descriptors: 0, available: 128, used: 192))
    #expect(RingLayout.legacy(at: UInt64.max - 15, size: 1) == nil)
    #expect(RingLayout.legacy(at: UInt64.max - 4096, size: 128) == nil)
    #expect(RingLayout.legacy(at: UInt64.max - 4096, size: 0xffff) == nil)
  }

  @Test("every error says what the driver did, in one line")
  func descriptions() {
    let errors: [RingError] = [
      .badSize, .misaligned, .ringOutsideMemory, .ringAreasOverlap, .badPosition,
      .availableIndexJumped, .headOutOfRange, .headInFlight, .nextOutOfRange, .chainTooLong,
      .chainTooLarge, .tooManySegments, .addressOutsideMemory, .readableAfterWritable,
      .indirectNotNegotiated, .indirectWithNext, .indirectNested, .indirectBadLength,
      .indirectOutsideMemory, .idOutOfRange, .descriptorNotAvailable,
    ]
    let lines = errors.map { "\($0)" }
    #expect(Set(lines).count == errors.count)
    #expect(lines.allSatisfy { !$0.contains("\n") && !$0.hasSuffix(".") })
  }
}
