// SPDX-License-Identifier: Apache-2.0

import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing

let formats: [Features] = [.allRing.subtracting(.packedRing), .allRing]

@Suite(.timeLimit(.minutes(20))) struct SessionTests {
  @Test("a front-end brings a ring up and is served", arguments: formats)
  func servesARing(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    for length in 1...200 {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 + length) }
      #expect(try client.echo(bytes) == bytes)
    }
    #expect(bed.stop())
  }
}
