// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Testing
import VirtioRing
import VirtioTesting

@Suite("A worker that sleeps in its kick", .timeLimit(.minutes(20)))
struct QueueWorkerTests {
  @Test("wakes for each kick, stops while it sleeps, and goes on", arguments: QueueFormat.allCases)
  func wakesAndStops(format: QueueFormat) throws {
    let bed = try QueueBed(
      try RngDevice(name: "rng0", options: RngOptions()), format, sleepsInKick: true)
    let address = bed.space.take(64)
    for round in 0..<3 {
      for token in 0..<100 as Range<UInt64> {
        #expect(bed.offer([.writable(address, 64)], token: token))
        #expect(try bed.awaitUsed()?.token == token)
      }
      // It sleeps now, or is about to: stopping must reach it either way.
      bed.stop()
      #expect(bed.inFlightCount == 0, "round \(round)")
      try bed.start()
    }
  }

  @Test("looks at what was offered before it started")
  func looksFirst() throws {
    let bed = try QueueBed(
      try RngDevice(name: "rng0", options: RngOptions()), sleepsInKick: true, started: false)
    #expect(bed.offer([.writable(bed.space.take(64), 64)], token: 7))
    bed.kick.drain()
    try bed.start()
    #expect(try bed.awaitUsed()?.token == 7)
  }
}
