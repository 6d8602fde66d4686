// SPDX-License-Identifier: Apache-2.0
//
// A driver's descriptors that change while its queue runs, and the calls that a worker owes it.

import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("Kicks and calls of a running queue", .timeLimit(.minutes(20)))
struct QueueWiringTests {
  private static func rng() throws -> RngDevice {
    try RngDevice(name: "rng0", options: RngOptions())
  }

  @Test(
    "new descriptors do not wait for requests in flight", arguments: RecordedDisk.Engine.allCases)
  func requestsInFlight(_ engine: RecordedDisk.Engine) throws {
    let recorder = BlockRecorder()
    recorder.hang.set(true)
    let device = try RecordedDisk(try TestImage(byteCount: 1 << 20), engine, recorder)
    let bed = try BlockBed(device)
    func offer(_ token: UInt64) {
      let header = bed.queue.space.take(16)
      bed.memory.write(BlockBed.header(BlockType.read, token), at: header)
      let room = bed.queue.space.take(513)
      #expect(bed.queue.offer([.readable(header, 16), .writable(room, 513)], token: token))
    }
    for token in 0..<3 as Range<UInt64> { offer(token) }
    let statistics = device.statistics[0]
    // One after the other, or all of them.
    #expect(eventually { statistics.reading().inFlight == (engine == .threads ? 1 : 3) })

    for _ in 0..<10 {
      try bed.queue.changeCall()
      try bed.queue.changeKick()
    }
    offer(3)
    if engine == .ring {
      // The new call was made already, and the new kick is heard, while the others hang.
      #expect(try bed.queue.isCalled())
      #expect(eventually { statistics.reading().inFlight == 4 })
    }
    #expect(recorder.hang.isSet)
    recorder.hang.set(false)
    for _ in 0..<4 { #expect(try bed.queue.awaitUsed() != nil) }
  }

  @Test(
    "a new call descriptor is signalled at once, whether there is something to call for or not",
    arguments: [false, true])
  func newCall(_ sleepsInKick: Bool) throws {
    let bed = try QueueBed(try Self.rng(), sleepsInKick: sleepsInKick)
    let address = bed.space.take(64)
    for token in 0..<20 as Range<UInt64> {
      try bed.changeCall()
      #expect(try bed.isCalled())
      #expect(bed.offer([.writable(address, 64)], token: token))
      #expect(try bed.awaitUsed()?.token == token)
    }
  }

  @Test("what was made available before a new kick descriptor is found without a kick")
  func newKick() throws {
    let bed = try QueueBed(try Self.rng(), started: false)
    let address = bed.space.take(64)
    try bed.start()
    for token in 0..<20 as Range<UInt64> {
      let old = try bed.kick.descriptor.duplicate()
      #expect(bed.offer([.writable(address, 64)], token: token))
      // Whoever listened last took the kick away.
      _ = try old.consumeWakeups()
      try bed.changeKick()
      #expect(try bed.awaitUsed()?.token == token)
    }
  }

  @Test("what is given back as the queue stops is called for", arguments: QueueFormat.allCases)
  func calledAtStop(_ format: QueueFormat) throws {
    let recorder = BlockRecorder()
    recorder.hang.set(true)
    let device = try RecordedDisk(try TestImage(byteCount: 1 << 20), .threads, recorder)
    let bed = try BlockBed(device, format)
    let header = bed.queue.space.take(16)
    bed.memory.write(BlockBed.header(BlockType.read, 0), at: header)
    let room = bed.queue.space.take(513)
    #expect(bed.queue.offer([.readable(header, 16), .writable(room, 513)]))
    #expect(eventually { recorder.hang.isFelt })
    bed.queue.requestStop()
    recorder.hang.set(false)
    bed.queue.stop()
    #expect(try bed.queue.isCalled(within: .zero))
    #expect(try bed.queue.awaitUsed() != nil)
  }

  @Test("what was given back before the driver broke its ring is called for")
  func calledWhenBroken() throws {
    let bed = try QueueBed(try Self.rng(), started: false)
    #expect(bed.offer([.writable(bed.space.take(64), 64)], token: 1))
    #expect(bed.offer([.writable(0xffff_ffff_ffff_0000, 64)], token: 2))
    try bed.start()
    #expect(try bed.awaitUsed()?.token == 1)
  }

  @Test("a call goes to the newest descriptor only")
  func oldCallIsSilent() throws {
    let bed = try QueueBed(try Self.rng())
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 64)], token: 1))
    #expect(try bed.awaitUsed()?.token == 1)
    let old = try bed.callDescriptor()
    try bed.changeCall()
    #expect(try bed.isCalled())
    #expect(bed.offer([.writable(address, 64)], token: 2))
    #expect(try bed.awaitUsed()?.token == 2)
    #expect(try Poll.wait(for: .readable, on: old, timeout: .zero).isEmpty)
  }
}
