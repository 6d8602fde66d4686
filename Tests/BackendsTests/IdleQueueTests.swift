// SPDX-License-Identifier: Apache-2.0
//
// What many queues cost that nobody uses. In a process of its own, whose memory no other test changes.

import Foundation
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("Queues that nobody uses", .timeLimit(.minutes(20)))
struct IdleQueueTests {
  @Test(
    "take 300 KiB at most, and a thousand start in seconds",
    arguments: [BlockOptions.Engine.uring, .threads])
  func cost(engine: BlockOptions.Engine) async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardErrorContent]
    ) { [engine = engine.rawValue as String] in
      // The descriptors of a thousand queues.
      OpenFiles.raiseLimit()

      let queueCount = 16
      var images: [TestImage] = []
      var beds: [QueueBed] = []
      for _ in 0..<63 {
        let image = try TestImage(byteCount: 1 << 20)
        var options = image.options
        options.engine = try #require(BlockOptions.Engine(rawValue: engine))
        options.queueCount = queueCount
        let device = try BlockDevice(name: "idle", options: options)
        device.driverAccepted(BlockBed.modern)
        images.append(image)
        for index in 0..<queueCount {
          beds.append(
            try QueueBed(
              device, index: index, size: 256, byteCount: 0x1000, sleepsInKick: false,
              started: false))
        }
      }
      let before = try residentBytes()
      let time = try ContinuousClock().measure { for bed in beds { try bed.start() } }
      // All have looked at their rings, and sleep.
      for bed in beds { bed.kick.signal() }
      pause(.seconds(1))
      let each = (try residentBytes() - before) / beds.count
      for bed in beds { bed.requestStop() }
      for bed in beds { bed.stop() }
      let line = "\(beds.count) queues, \(engine): \(time) to start, \(each) bytes each\n"
      FileHandle.standardError.write(Data(line.utf8))
      // 4.2 MiB and 47 ms each, it was once. A busy machine has several times one second.
      exit(each <= 300 << 10 && time < .seconds(20) ? 0 : 1)
    }
    // What it has measured, for who reads the log.
    print(String(decoding: result?.standardErrorContent ?? [], as: UTF8.self), terminator: "")
  }
}

/// The memory of this process that is there (proc(5), statm).
private func residentBytes() throws -> Int {
  let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
  let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
  return try #require(pages) * 4096
}
