// SPDX-License-Identifier: Apache-2.0

import Backends
import HostTesting
import LguestTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import LguestTransport

@Suite(.timeLimit(.minutes(20))) struct GuestBusTests {
  let echo = EchoDevice()
  let bed: BusBed

  init() throws { bed = try BusBed([echo, EchoDevice("echo1", queues: 1)]) }

  // MARK: Status

  @Test func `Linux 2_6_31: status after status, features, DRIVER_OK, and the device runs`() throws
  {
    bed.setStatus(0)
    bed.setStatus(1)
    bed.setStatus(3)
    #expect(echo.starts == 0)
    bed.accept(1 << 28 | 1 << 5)
    bed.setStatus(7)
    #expect(echo.starts == 2)
    // What was not offered cannot be accepted.
    #expect(echo.accepted == [.indirectDescriptors])
    var driver = try bed.driver(1)
    try bed.expectEcho("hello", &driver, 1)
    #expect(try bed.awaitCall(2))
  }

  @Test func `Linux 3_2: no word of DRIVER_OK, the first kick starts the device`() throws {
    bed.setStatus(0)
    bed.accept(1 << 29)
    bed.setStatus(3)
    #expect(echo.starts == 0)
    var driver = try bed.driver(0, features: .eventIndex)
    try bed.expectEcho("early", &driver, 0)
    #expect(echo.starts == 2)
    #expect(echo.accepted == [.eventIndex])
  }

  @Test func `a kick before DRIVER_OK is not lost, and DRIVER_OK starts nothing twice`() throws {
    bed.setStatus(3)
    var driver = try bed.driver(0)
    try bed.expectEcho("kicked", &driver, 0)
    bed.setStatus(7)
    #expect(echo.starts == 2)
    try bed.expectEcho("again", &driver, 0)
  }

  @Test func `only a running device has eventfds, one for each queue`() throws {
    #expect(bed.host.attached == [])
    bed.setStatus(7)
    #expect(bed.host.attached == [bed.queue(0).address, bed.queue(1).address])
    bed.setStatus(0)
    #expect(bed.host.attached == [])
  }

  @Test func `a kick that comes through read though an eventfd is attached wakes the queue`() throws
  {
    bed.setStatus(7)
    var driver = try bed.driver(0)
    bed.words.write(Array("x".utf8), at: 0x8000)
    let isOffered = driver.offer([.readable(0x8000, 1), .writable(0x9000, 1)].span)
    #expect(isOffered)
    bed.bus.notified(bed.queue(0).address)
    #expect(try bed.awaitCall(1))
    let used = try driver.collect()
    #expect(used?.written == 1)
  }

  @Test func `reset and restart, again and again`() throws {
    for round in 0..<20 {
      bed.setStatus(0)
      bed.setStatus(3)
      bed.accept(UInt32(round & 1) << 29)
      bed.setStatus(7)
      let features: Features = round & 1 == 1 ? .eventIndex : []
      #expect(echo.accepted.last == features)
      var driver = try bed.driver(0, features: features)
      for turn in 0..<3 {
        try bed.expectEcho("round \(round) \(turn)", &driver, 0)
      }
    }
    #expect(echo.starts == 40)
  }

  @Test func `a reset zeroes rings and accepted features, and nothing else of the page`() throws {
    let before = bed.words.bytes(at: BusBed.memoryEnd, count: 4096)
    bed.accept(.max)
    bed.setStatus(7)
    var driver = try bed.driver(0)
    try bed.expectEcho("dirt", &driver, 0)
    bed.setStatus(0)
    #expect(bed.words.bytes(at: BusBed.memoryEnd, count: 4096) == before)
    for index in 0..<2 {
      let ring = bed.words.bytes(at: bed.queue(index).address, count: 3 * 4096)
      #expect(ring.allSatisfy { $0 == 0 })
    }
    #expect(echo.resets == 1)
  }

  @Test func `Linux 3_2: a driver that takes its buffers back after a reset leaves clean rings`()
    throws
  {
    let available = bed.queue(0).address + 16 * UInt64(bed.queue(0).size) + 2
    for round in 0..<3 {
      bed.setStatus(0)
      bed.accept(0)
      bed.setStatus(3)
      // A driver of those days begins with what it finds.
      #expect(bed.words.bytes(at: available, count: 2) == [0, 0])
      var driver = try bed.driver(0)
      try bed.expectEcho("round \(round)", &driver, 0)
      bed.setStatus(0)
      bed.words.store(UInt16.max, at: available)
    }
    #expect(bed.complaints.lines == [])
  }

  @Test func `a running device's rings are not cleared, whatever the status says`() throws {
    bed.setStatus(7)
    var driver = try bed.driver(0)
    try bed.expectEcho("before", &driver, 0)
    bed.setStatus(3)
    try bed.expectEcho("after", &driver, 0)
  }

  @Test func `a driver that gives up stops its device, which a later one can use`() throws {
    bed.setStatus(7)
    bed.setStatus(0x83)
    #expect(bed.host.attached == [])
    #expect(bed.complaints.lines == ["echo0: the guest's driver has given up"])
    // Kicks mean nothing until the status is clean again.
    bed.kick(0)
    #expect(echo.starts == 2)
    bed.setStatus(0)
    bed.setStatus(7)
    #expect(echo.starts == 4)
  }

  @Test func `devices are told apart`() throws {
    bed.setStatus(7, of: 1)
    #expect(echo.starts == 0)
    var driver = try bed.driver(0, of: 1)
    try bed.expectEcho("second", &driver, 0, of: 1)
    #expect(try bed.awaitCall(3))
  }

  @Test func `many kicks, none lost`() throws {
    bed.setStatus(7)
    var driver = try bed.driver(0)
    for turn in 0..<3000 {
      let text = "turn \(turn)"
      guard try bed.echo(text, &driver, 0) == text else {
        Issue.record("turn \(turn) is lost")
        return
      }
    }
  }

  // MARK: Trouble

  @Test func `a ring that its driver breaks stops alone, is told once, and is cured by a reset`()
    throws
  {
    bed.setStatus(7)
    var other = try bed.driver(1)
    // The available index is ahead by more than the queue is long.
    bed.words.store(UInt16(999), at: bed.queue(0).address + 4096 + 2)
    bed.kick(0)
    try bed.expectEcho("alive", &other, 1)
    let deadline = MonotonicClock.nanoseconds + 300_000_000_000
    while bed.complaints.lines.isEmpty, MonotonicClock.nanoseconds < deadline {
      try bed.host.waitForCall(.milliseconds(1))
    }
    #expect(bed.complaints.lines == ["echo0: queue 0 is stopped: available index jumped"])
    bed.setStatus(0)
    bed.setStatus(7)
    var driver = try bed.driver(0)
    try bed.expectEcho("cured", &driver, 0)
  }

  @Test func `a device that the host cannot start is told, and can be tried again`() throws {
    echo.refuse(DeviceError("start echo0", .noMemory))
    bed.setStatus(7)
    #expect(bed.complaints.lines.count == 1)
    #expect(bed.host.attached == [])
    echo.refuse(nil)
    var driver = try bed.driver(0)
    try bed.expectEcho("now", &driver, 0)
  }

  @Test func `a host that attaches no eventfd leaves the device stopped`() throws {
    bed.host.fail(4, .noMemory)
    bed.setStatus(7)
    #expect(echo.starts == 0)
    #expect(bed.complaints.lines.first?.contains("echo0: cannot be started") == true)
    bed.host.fail(4, nil)
    bed.setStatus(7)
    #expect(echo.starts == 2)
  }

  @Test func `a guest that scribbles over its device page hurts nobody but itself`() throws {
    bed.setStatus(7)
    bed.words.fill(0xff, at: BusBed.memoryEnd, count: 4096)
    bed.notify(BusBed.memoryEnd)
    #expect(bed.host.attached == [])
    bed.words.fill(0, at: BusBed.memoryEnd, count: 4096)
    bed.notify(BusBed.memoryEnd)
    // Places are remembered, not read.
    bed.words.store(UInt8(7), at: BusBed.memoryEnd + 4)
    bed.notify(BusBed.memoryEnd)
    #expect(bed.host.attached == [BusBed.memoryEnd + 0x1000, BusBed.memoryEnd + 0x4000])
    #expect(echo.accepted.last == [])
  }

  // MARK: Early console

  @Test func `a string is printed up to its zero`() throws {
    bed.words.write(Array("Linux version 2\0junk".utf8), at: 0x7ff5)
    bed.notify(0x7ff5)
    #expect(bed.printed.lines == ["Linux version 2"])
  }

  @Test func `a string without an end stops at the memory's end, or after 1024 bytes`() throws {
    bed.words.fill(0x41, at: BusBed.memoryEnd - 100, count: 100)
    bed.notify(BusBed.memoryEnd - 100)
    bed.words.fill(0x42, at: 0x3000, count: 5000)
    bed.notify(0x3000)
    #expect(bed.printed.lines.map(\.count) == [100, 1024])
  }

  @Test func `an empty string and address 0 print nothing`() throws {
    bed.notify(0x5000)
    bed.notify(0)
    #expect(bed.printed.lines == [])
    #expect(bed.complaints.lines == [])
  }

  @Test(arguments: [
    BusBed.memoryEnd + 1, BusBed.memoryEnd + 4095, BusBed.memoryEnd + 0x1004,
    BusBed.memoryEnd + 0x10000, 0xffff_f000, .max,
  ])
  func `a notify of what is nothing is told, and nothing happens`(address: UInt64) throws {
    bed.notify(address)
    #expect(bed.printed.lines == [])
    #expect(bed.complaints.lines.count == 1)
    #expect(echo.starts == 0)
  }
}
