// SPDX-License-Identifier: Apache-2.0
//
// The whole transport on recordings of a real /dev/lguest: it asks what lgdev was recorded asking there. The
// recordings are made by Kernel/tests/recording.py; `make test-lguest` makes them anew and compares.

import Backends
import Foundation
import HostTesting
import LguestTesting
import Linux
import Logging
import Synchronization
import Testing
import VirtioRing

@testable import LguestTransport

/// The recordings that are committed.
enum Recordings {
  static let names = ["death", "devices", "early", "mute", "restart", "stop"]

  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Recordings").path

  static func load(_ name: String) throws -> Recording {
    try Recording(path: "\(folder)/\(name).txt")
  }

  /// Those of lgdev's guests that were run, one after the other.
  static func runs(_ name: String) throws -> [RecordedGuest] {
    try load(name).guests.filter { $0.runner == "guest" }
  }
}

/// A guest with the devices of a recording, on a host that plays it.
private final class RecordedBed {
  let differences: RecordedDifferences
  var options: GuestOptions
  var devices: [EchoDevice]
  let printed = LineCollector()
  private let guests: [RecordedGuest]

  init(_ guests: [RecordedGuest]) throws {
    self.guests = guests
    differences = try RecordedDifferences()
    let page = try #require(guests.first.flatMap { RecordedPage($0) })
    devices = page.slots.map { EchoDevice($0.device) }
    let kernel = "/tmp/lgdev-recorded-\(UInt32.random(in: 0...UInt32.max)).kernel"
    options = GuestOptions(kernel: kernel, memory: page.address)
    var elf = ELF()
    elf.entry = 0x10_0000
    elf.segments[0].address = elf.entry
    try FileDescriptor.open(kernel, [.writeOnly, .create, .exclusive]).writeAll(elf.bytes)
  }

  deinit { try? FileSystem.remove(options.kernel) }

  /// Runs it to its end. - Parameter isStopped: from outside, as soon as it sleeps.
  func run(isStopped: Bool) throws -> GuestEnd {
    let left = Mutex(guests[...])
    let (differences, count, printed) = (differences, guests.count, printed)
    var options = options
    options.earlyOutput = { printed.add(String(decoding: $0, as: UTF8.self)) }
    let guest = try RunningGuest.start(
      options, devices: devices, name: "guest",
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { () throws(LguestError) in
      let (next, opened) = left.withLock { ($0.popFirst(), count - $0.count - 1) }
      if differences.closed != opened { differences.add("one is opened before the last is closed") }
      guard let next else {
        differences.add("one is opened after the last")
        throw .noModule
      }
      return RecordedHost(next, differences)
    }
    guard isStopped else { return guest.join() }
    _ = try Poll.wait(for: .readable, on: differences.asleep.descriptor, timeout: nil)
    return guest.stop()
  }
}

extension RecordedGuest {
  /// The strings that it wanted to be printed.
  fileprivate var said: [String] {
    ownCalls.compactMap { call in
      guard case .read(_, _, .string(let text)) = call.kind else { return nil }
      return String(decoding: text, as: UTF8.self)
    }
  }

  fileprivate var isStopped: Bool { ownCalls.contains { $0.result == .failure(.interrupted) } }

  /// Why it died, and whether it had called its host before, where that was asked.
  fileprivate var death: (reason: String, hasCalled: Bool?) {
    var (reason, hasCalled) = ("", Bool?.none)
    for call in ownCalls {
      if case .read(_, _, .text(let text)) = call.kind {
        reason = String(decoding: text.dropLast(), as: UTF8.self)
      }
      if case .write(_, _, let hypercalls?) = call.kind { hasCalled = hypercalls }
    }
    return (reason, hasCalled)
  }
}

@Suite(.timeLimit(.minutes(20))) struct RecordedRunTests {
  @Test(arguments: Recordings.names)
  func `on a recorded host the transport makes the recorded requests, word for word, and ends so`(
    name: String
  ) throws {
    let guests = try Recordings.runs(name)
    let last = try #require(guests.last)
    let bed = try RecordedBed(guests)
    let end = try bed.run(isStopped: last.isStopped)
    #expect(bed.differences.all == [])
    #expect(bed.differences.closed == guests.count)
    #expect(bed.printed.lines == guests.flatMap(\.said))
    switch (end, last.death) {
    case (.stopped, _): #expect(last.isStopped)
    case (.poweredOff, let death): #expect(death.reason == "CRASH: Power down")
    case (.died(let reason), let death):
      #expect(reason.hasPrefix(death.reason) && !death.reason.isEmpty)
      #expect(reason.contains("it never called lguest") == (death.hasCalled == false))
    default: Issue.record("\(end)")
    }
  }

  @Test func `a request that was not recorded is told beside the one that was`() throws {
    let bed = try RecordedBed(try Recordings.runs("early"))
    // One page more than was recorded.
    bed.options.memory += 4096
    #expect(try bed.run(isStopped: false) == .notStarted(.refused(.io)))
    let told = try #require(bed.differences.all.first)
    #expect(told.contains("early.txt:") && told.contains("write 32: 0 BASE 1007 100000 = 24"))
    #expect(told.contains("asked: write 32: 0 "))
  }

  @Test func `a device page that was not recorded is told`() throws {
    let bed = try RecordedBed(try Recordings.runs("devices"))
    var other = try #require(RecordedPage(try Recordings.runs("devices")[0])).slots[0].device
    other.configuration[0] ^= 1
    bed.devices[0] = EchoDevice(other)
    #expect(try bed.run(isStopped: false) == .poweredOff)
    let told = try #require(bed.differences.all.first)
    #expect(told.contains("devices.txt:") && told.contains("the devices are: "))
    #expect(bed.differences.all.count == 1)
  }

  @Test func `all recordings that are committed are replayed`() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Recordings.folder)
    #expect(files.sorted() == (Recordings.names + ["rows"]).sorted().map { "\($0).txt" })
  }
}
