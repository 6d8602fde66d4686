// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("A chain goes to the device and comes back", .timeLimit(.minutes(20)))
struct RoundTripTests {
  @Test(
    "in every format and shape", arguments: RingFormat.allCases,
    [ChainShape.direct, .indirect, .indirectAt(0x801)])
  func roundTrip(format: RingFormat, shape: ChainShape) throws {
    let bed = try RingBed(format, features: .indirectDescriptors)
    let base = bed.buffers
    bed.memory.write([1, 2, 3, 4], at: base)
    let buffers: [DriverBuffer] = [
      .readable(base, 4), .writable(base + 0x4000, 8), .writable(base + 0x5000, 1),
    ]
    // Many more times than the ring is long, so that every index and wrap counter turns over.
    for token in UInt64(0)..<100 {
      #expect(bed.offer(buffers, shape: shape, token: token))
      #expect(bed.needsKick())
      #expect(try bed.pop())
      #expect(bed.readableBytes() == 4)
      #expect(bed.writableBytes() == 9)
      #expect(bed.load(UInt32.self, at: 0) == 0x0403_0201)
      #expect(bed.store(token, at: 0))
      bed.push(written: 9)
      #expect(bed.needsCall())
      let used = try bed.collect()
      #expect(used?.token == token)
      #expect(used?.written == 9)
      #expect(try bed.collect() == nil)
      #expect(bed.memory.load(UInt64.self, at: base + 0x4000) == token)
      #expect(try !bed.pop())
    }
  }
}
