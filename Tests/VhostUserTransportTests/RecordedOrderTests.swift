// SPDX-License-Identifier: Apache-2.0
//
// What real front-ends have asked, in the oldest and the newest version that is tested with, played to a device of
// the same kind.

import Backends
import Foundation
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing

@Suite(.timeLimit(.minutes(20))) struct RecordedOrderTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Recordings")

  static let names =
    (try? FileManager.default.contentsOfDirectory(atPath: folder.path()))?.sorted() ?? []

  @Test("there are recordings") func some() { #expect(Self.names.count >= 16) }

  @Test("what a real front-end asks is served, and its driver loses nothing", arguments: names)
  func plays(_ name: String) throws {
    let text = try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8)
    let id: DeviceID = name.contains("-block") ? .block : name.contains("-rng") ? .rng : .net
    let features = name.contains("packed") ? formats[1] : formats[0]
    let device = EchoDevice(id: id, inOrder: true)
    let bed = try ServerBed([device])
    let path = bed.path()
    let replay = try Replay(features, ringCount: device.queueSizes.count) {
      try RawFrontEnd(connectingTo: path)
    }
    try replay.play(try RecordedEvent.parse(text))
    #expect(bed.stop())
    try replay.finish()
    #expect(device.statistics.reduce(0) { $0 + $1.chains } == UInt64(replay.served))
    #expect(bed.lines.all.allSatisfy { !$0.contains("is stopped") && !$0.contains("refused") })
  }
}
