// SPDX-License-Identifier: Apache-2.0

@testable import Backends
import Foundation
import HostTesting
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

  @Test(
    "that sleeps is woken to stop, and does not wait for a nudge", arguments: [false, true],
    QueueFormat.allCases)
  func stopsAtOnce(sleepsInKick: Bool, format: QueueFormat) throws {
    let bed = try QueueBed(
      try RngDevice(name: "rng0", options: RngOptions()), format, sleepsInKick: sleepsInKick)
    let rounds = 10
    var late = 0
    for _ in 0..<rounds {
      // Time to fall asleep.
      pause(.milliseconds(5))
      let time = ContinuousClock().measure { bed.stop() }
      // The first nudge comes after a hundred. A busy machine makes some late, and not nearly all.
      if time > .milliseconds(90) { late += 1 }
      try bed.start()
    }
    #expect(late < rounds * 3 / 4, "\(late) of \(rounds) stops took as long as a nudge")
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

  @Test("a queue that runs is not started a second time, and goes on")
  func startedTwice() throws {
    let device = try RngDevice(name: "rng0", options: RngOptions())
    let bed = try QueueBed(device)
    let error = #expect(throws: DeviceError.self) { _ = try QueueBed(device) }
    #expect(error?.errno == .busy)
    #expect(bed.offer([.writable(bed.space.take(64), 64)], token: 3))
    #expect(try bed.awaitUsed()?.token == 3)
    bed.stop()
    try bed.start()
    #expect(bed.offer([.writable(bed.space.take(64), 64)], token: 4))
    #expect(try bed.awaitUsed()?.token == 4)
  }

  @Test("a pinned thread that starts a queue does not pin it")
  func isNotPinned() throws {
    let first = try FileDescriptor.open("/proc/self/status", .readOnly).read(upTo: 65536)
    let pinned = try WorkerThread.start(name: "pinned", state: ()) { _ -> [UInt8] in
      do {
        try CurrentThread.setProcessors([CurrentThread.processors[0]])
        let bed = try QueueBed(try RngDevice(name: "unpinned", options: RngOptions()))
        defer { bed.stop() }
        // A thread has its name once it runs, and others end meanwhile.
        var status: [UInt8] = []
        _ = eventually {
          for task in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task"))
            ?? []
          {
            let directory = "/proc/self/task/\(task)"
            guard
              let name = try? FileDescriptor.open("\(directory)/comm", .readOnly).read(upTo: 64),
              String(decoding: name, as: UTF8.self).hasPrefix("unpinned"),
              let found = try? FileDescriptor.open("\(directory)/status", .readOnly)
                .read(upTo: 65536)
            else { continue }
            status = found
            return true
          }
          return false
        }
        return status
      } catch {}
      return []
    }
    func processors(_ status: [UInt8]) -> Substring? {
      String(decoding: status, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix("Cpus_allowed:") }
    }
    let status = pinned.join()
    #expect(processors(status) != nil)
    #expect(processors(status) == processors(first))
  }

  @Test(
    "a confined thread that starts a queue does not confine it", arguments: BlockVariant.engines)
  func isNotConfined(_ variant: BlockVariant) throws {
    let image = try TestImage(pattern(4096))
    let device = try variant.device(image)
    #expect(device.engineName == (variant.engine == .uring ? "io_uring" : "threads"))
    let path = image.path
    let confined = try WorkerThread.start(name: "confined", state: ()) { _ -> [BlockAnswer]? in
      do {
        let file = try FileDescriptor.open(path, .readOnly)
        try Confinement.refuse(Confinement.ring + Confinement.storage + Confinement.threads)
        var byte: [UInt8] = [0]
        var refusal: Errno?
        do throws(Errno) { _ = try file.read(into: &byte, at: 0) } catch { refusal = error }
        guard refusal == .permission else { return nil }
        let bed = try BlockBed(device)
        defer { bed.stop() }
        return [try bed.read(1, 512), try bed.write(2, pattern(512, seed: 7)), try bed.flush()]
      } catch { return nil }
    }
    let outcome = confined.join()
    let answers = try #require(outcome, "the thread could not be confined, or starts nothing")
    #expect(answers.map(\.status) == [0, 0, 0])
    #expect(answers[0].data == Array(pattern(4096)[512..<1024]))
    #expect(try image.bytes(at: 1024, count: 512) == pattern(512, seed: 7))
  }

  @Test("a wish that was granted leaves nothing behind that would keep the worker awake")
  func leavesNoBell() throws {
    let control = try WorkerControl()
    let worker = try WorkerThread.start(name: "worker", state: control) { control in
      while true {
        // At work when a wish comes, it is as quick to see it as can be.
        guard control.isInterrupted, let wish = control.take() else { continue }
        control.grant()
        if case .stop = consume wish { return }
      }
    }
    let memory = TestMemory(byteCount: 0x1000).guestMemory
    for round in 0..<10_000 {
      control.send(.replaceMemory(memory))
      control.awaitGrant {}
      var entries: InlineArray<1, PollEntry> = [PollEntry(fd: control.wakeDescriptor)]
      #expect(try Poll.wait(&entries, timeout: .zero) == 0, "round \(round)")
    }
    control.requestStop()
    control.awaitGrant {}
    worker.join()
  }

  @Test("a sleep in the kick is a wait: the time that was known before it is old")
  func sleepIsAWait() throws {
    let memory = TestMemory(byteCount: 0x10000)
    var space = GuestSpace(0..<0x10000)
    let driver = Driver(.split(size: 16, in: &space), memory: memory, features: .version1)
    var queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    let kick = try EventFD(nonBlocking: false)
    kick.signal()
    // No call, which would make the time old as well.
    let wiring = QueueWiring(sleepingIn: try kick.descriptor.duplicate(), call: nil)
    var port = QueuePort(
      control: try WorkerControl(kick: try wiring.ownKick()), wiring: wiring,
      meter: QueueMeter(QueueStatistics().current))
    let before = port.meter.now
    let wake = try port.sleep(&queue)
    let after = port.meter.now
    #expect(wake == .queue)
    #expect(after > before)
  }
}
