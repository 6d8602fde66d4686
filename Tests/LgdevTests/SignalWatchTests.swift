// SPDX-License-Identifier: Apache-2.0
//
// The end that does not wait for requests which never finish.

import HostTesting
import Linux
import Synchronization
import Testing

@testable import lgdev

@Suite(.timeLimit(.minutes(20))) struct SignalWatchTests {
  private final class Count: Sendable {
    let ends = Atomic<Int>(0)
    let surrenders = Atomic<Int>(0)

    var actions: SignalWatch.Actions {
      .init(
        resize: {}, end: { self.ends.add(1, ordering: .relaxed) },
        giveUp: { self.surrenders.add(1, ordering: .relaxed) })
    }
  }

  @Test func `an end in good time is left alone`() throws {
    let count = Count()
    let watch = try SignalWatch(
      try SignalFD.taking([]), patience: soon, count.actions)
    watch.expectEnd()
    pause(.milliseconds(50))
    watch.finish()
    #expect(count.surrenders.load(ordering: .relaxed) == 0)
  }

  @Test func `an end that does not come is given up`() throws {
    let count = Count()
    let watch = try SignalWatch(
      try SignalFD.taking([]), patience: .milliseconds(50), count.actions)
    pause(.milliseconds(200))
    #expect(count.surrenders.load(ordering: .relaxed) == 0)
    watch.expectEnd()
    #expect(eventually { count.surrenders.load(ordering: .relaxed) > 0 })
    watch.finish()
    #expect(count.surrenders.load(ordering: .relaxed) == 1)
  }

  @Test func `the last resort removes what there is and ends the process with 1`() async throws {
    let directory = try TemporaryDirectory()
    let result = await #expect(
      processExitsWith: .exitCode(1), observing: [\.standardErrorContent]
    ) { [path = "\(directory.path)/pid" as String] in
      let resort = LastResort(
        busyDevice: { "block0" },
        removeSockets: { StandardError.print("sockets removed") })
      resort.pidFile.withLock { $0 = try? PidFile(path) }
      guard FileSystem.exists(path) else { return }
      resort.end()
    }
    let errors = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(
      errors.contains("error: block0: its requests in flight do not finish; ending without them\n"))
    #expect(errors.contains("sockets removed\n"))
    #expect(try directory.names == [])
  }
}
