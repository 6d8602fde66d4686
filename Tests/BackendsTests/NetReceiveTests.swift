// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

private let offloads: Features = [
  .netGuestChecksum, .netGuestTSO4, .netGuestTSO6, .netGuestECN, .netGuestUFO,
]

@Suite("A network device's receive queue", .timeLimit(.minutes(20)))
struct NetReceiveTests {
  private func bed(
    _ format: QueueFormat = .split, size: UInt16 = 64, features: Features = [],
    name: String = "net0"
  ) throws -> NetBed {
    try NetBed(
      NetBed.receive, format, size: size,
      features: features.union([.indirectDescriptors, .eventIndex]), name: name)
  }

  @Test("puts each frame in a buffer, header first", arguments: QueueFormat.allCases)
  func oneBufferEach(format: QueueFormat) throws {
    let bed = try bed(format)
    for (index, size) in [14, 60, 1514, 9014, 65553].enumerated() {
      let sent = frame(size, seed: UInt8(index + 1))
      let address = try #require(bed.offerBuffer(65_600, token: UInt64(index)))
      try bed.hostSend(RawHeader(bufferCount: 77), sent)
      let used = try #require(try bed.queue.awaitUsed())
      #expect(used.token == UInt64(index))
      #expect(Int(used.written) == bed.headerSize + size)
      let received = bed.read(address, used.written)
      // With VERSION_1 num_buffers is 1 though MRG_RXBUF was not negotiated.
      #expect(received.header == RawHeader(bufferCount: bed.headerSize == 12 ? 1 : 0))
      #expect(received.frame == sent)
    }
    #expect(bed.chains == 5)
    #expect(bed.bytes == 14 + 60 + 1514 + 9014 + 65553)
  }

  @Test(
    "takes buffers whose header is cut into 1-byte descriptors", arguments: QueueFormat.allCases)
  func splitHeader(format: QueueFormat) throws {
    let bed = try bed(format, features: offloads)
    let address = bed.queue.space.take(256)
    let buffers =
      (0..<15).map { DriverBuffer.writable(address + UInt64($0), 1) } + [
        .writable(address + 15, 200)
      ]
    #expect(bed.queue.offer(buffers, shape: .indirect))
    let header = RawHeader(flags: 1, checksumStart: 34, checksumOffset: 6)
    try bed.hostSend(header, frame(99))
    let used = try #require(try bed.queue.awaitUsed())
    let received = bed.read(address, used.written)
    var expected = header
    if bed.headerSize == 12 { expected.bufferCount = 1 }
    #expect(received.header == expected)
    #expect(received.frame == frame(99))
  }

  @Test("a frame larger than its buffer is dropped whole, the buffer kept, without MRG_RXBUF")
  func tooLarge() throws {
    let bed = try bed()
    let address = try #require(bed.offerBuffer(112, token: 5))
    try bed.hostSend(frame(101))
    try bed.hostSend(frame(1514))
    try bed.hostSend(frame(100, seed: 9))
    let used = try #require(try bed.queue.awaitUsed())
    #expect(used.token == 5)
    #expect(used.written == 112)
    #expect(bed.read(address, used.written).frame == frame(100, seed: 9))
    #expect(bed.dropped == 2)
  }

  @Test("nothing is written past a buffer that is too small")
  func noOverrun() throws {
    let bed = try bed()
    let address = bed.queue.space.take(4096)
    bed.queue.memory.fill(0x5a, at: address, count: 4096)
    #expect(bed.queue.offer([.writable(address, 100)]))
    try bed.hostSend(frame(3000))
    #expect(eventually { bed.dropped == 1 })
    #expect(bed.queue.memory.bytes(at: address + 100, count: 3996).allSatisfy { $0 == 0x5a })
  }

  @Test(
    "a frame that its buffers hold exactly arrives", arguments: QueueFormat.allCases, [false, true])
  func exactFit(format: QueueFormat, merge: Bool) throws {
    let bed = try bed(format, features: merge ? .netMergeBuffers : [])
    let address = try #require(bed.offerBuffer(UInt32(bed.headerSize + 3000)))
    try bed.hostSend(frame(3000))
    let used = try #require(try bed.queue.awaitUsed())
    #expect(bed.read(address, used.written).frame == frame(3000))
  }

  @Test(
    "a buffer without room for the header is given back empty and counted",
    arguments: [false, true])
  func shortBuffer(merge: Bool) throws {
    let bed = try bed(features: merge ? .netMergeBuffers : [])
    #expect(bed.offerBuffer(11, token: 1) != nil)
    let used = try #require(try bed.queue.awaitUsed())
    #expect(used.token == 1)
    #expect(used.written == 0)
    #expect(bed.errors == 1)
    let readable = bed.queue.space.take(2000)
    #expect(bed.queue.offer([.readable(readable, 2000)], token: 2))
    #expect(try bed.queue.awaitUsed()?.token == 2)
    #expect(bed.errors == 2)
    try expectStillServing(bed)
  }

  @Test("short buffers offered for ever neither hang the queue nor keep it from stopping")
  func shortBufferFlood() throws {
    let bed = try bed(size: 64)
    let address = bed.queue.space.take(16)
    let start = ContinuousClock.now
    let isServed = try eventually {
      while bed.queue.offer([.writable(address, 4)]) {}
      while try bed.queue.collect() != nil {}
      return bed.errors > 1000
    }
    #expect(isServed)
    bed.queue.stop()
    #expect(bed.queue.inFlightCount == 0)
    #expect(bed.log.lines.count <= lineLimit(since: start))
  }

  @Test("what the driver does not take is dropped, not delivered")
  func notNegotiated() throws {
    let bed = try bed(features: .netGuestChecksum)
    let address = try #require(bed.offerBuffer(2000))
    try bed.hostSend(RawHeader(flags: 1, gsoType: 1, gsoSize: 900, checksumStart: 34), frame(1000))
    try bed.hostSend(RawHeader(flags: 1, gsoType: 77, gsoSize: 900), frame(1000))
    try bed.hostSend(RawHeader(flags: 1, checksumStart: 2000), frame(1000))
    try bed.hostSend(frame(3))
    try bed.hostSend(frame(60))
    let used = try #require(try bed.queue.awaitUsed())
    #expect(bed.read(address, used.written).frame == frame(60))
    #expect(bed.dropped == 4)
  }

  @Test("flags are zero for a driver without GUEST_CSUM (virtio 1.3, 5.1.6.4.1)")
  func flagsAreZero() throws {
    for (features, flags) in [(Features.netGuestChecksum, UInt8(2)), ([], 0)] {
      let bed = try bed(features: features)
      let address = try #require(bed.offerBuffer(2000))
      try bed.hostSend(RawHeader(flags: 2), frame(60))
      let used = try #require(try bed.queue.awaitUsed())
      #expect(bed.read(address, used.written).header == RawHeader(flags: flags, bufferCount: 1))
    }
  }

  @Test("the driver is called once for many frames, when none are left")
  func oneCall() throws {
    let bed = try NetBed(NetBed.receive, size: 128, features: [], started: false)
    for token in 0..<100 { #expect(bed.offerBuffer(2000, token: UInt64(token)) != nil) }
    for _ in 0..<50 { try bed.hostSend(frame(60)) }
    try bed.queue.start()
    for _ in 0..<50 { #expect(try bed.queue.awaitUsed() != nil) }
    #expect(bed.calls <= 2)
  }

  @Test("the driver is called when it has no buffers left", arguments: QueueFormat.allCases)
  func outOfBuffers(format: QueueFormat) throws {
    let bed = try bed(format)
    for round in 0..<20 {
      for token in 0..<4 { #expect(bed.offerBuffer(2000, token: UInt64(token)) != nil) }
      for _ in 0..<4 { try bed.hostSend(frame(60, seed: UInt8(round + 1))) }
      for token in 0..<4 { #expect(try bed.queue.awaitUsed()?.token == UInt64(token)) }
    }
    #expect(bed.dropped == 0)
  }

  @Test("a full tap without buffers, and buffers without frames, cost no processor time")
  func noSpin() throws {
    let bed = try bed(name: "idle0")
    for _ in 0..<20 { try bed.hostSend(frame(1000)) }
    usleep(20_000)
    #expect(try isAsleep(threads: "idle0-rx"))
    for _ in 0..<40 { #expect(bed.offerBuffer(2000) != nil) }
    for _ in 0..<20 { #expect(try bed.queue.awaitUsed() != nil) }
    let isIdle = try isAsleep(threads: "idle0-rx") { () throws in
      for _ in 0..<10 {
        #expect(bed.offerBuffer(2000) != nil)
        usleep(10_000)
      }
    }
    #expect(isIdle)
  }

  @Test(
    "a stop gives held buffers back to the ring", arguments: QueueFormat.allCases, [false, true])
  func stop(format: QueueFormat, merge: Bool) throws {
    let bed = try bed(format, features: merge ? .netMergeBuffers : [])
    var addresses: [UInt64] = []
    for token in 0..<6 {
      addresses.append(try #require(bed.offerBuffer(500, token: UInt64(token))))
    }
    usleep(5_000)
    for round in 0..<6 {
      bed.queue.stop()
      #expect(bed.queue.inFlightCount == 0)
      try bed.queue.start()
      try bed.hostSend(frame(100, seed: UInt8(round + 1)))
      let used = try #require(try bed.queue.awaitUsed())
      #expect(used.token == UInt64(round))
      #expect(bed.read(addresses[round], used.written).frame == frame(100, seed: UInt8(round + 1)))
    }
  }

  @Test("when the host's end is closed the link is down and the thread sleeps")
  func hostGone() throws {
    let bed = try bed(name: "gone0")
    #expect(bed.offerBuffer(2000) != nil)
    let counter = SharedCounter()
    bed.device.configurationChange.observe { counter.value.add(1, ordering: .relaxed) }
    #expect(shutdown(bed.host.raw, Int32(SHUT_RDWR)) == 0)
    #expect(eventually { counter.value.load(ordering: .relaxed) == 1 })
    #expect(!bed.device.isLinkUp)
    #expect(bed.device.configuration()[6] == 0)
    #expect(try isAsleep(threads: "gone0-rx"))
    bed.queue.stop()
    #expect(bed.queue.inFlightCount == 0)
  }

  @Test("an empty message is dropped, and the next one arrives")
  func emptyMessage() throws {
    let bed = try NetBed(
      NetBed.receive, features: [], pair: try PacketPair(type: SOCK_DGRAM))
    let address = try #require(bed.offerBuffer(2000))
    _ = try bed.host.write([])
    try bed.hostSend(frame(60))
    let used = try #require(try bed.queue.awaitUsed())
    #expect(bed.read(address, used.written).frame == frame(60))
    #expect(bed.device.isLinkUp)
    #expect(bed.dropped == 1)
  }

  @Test("a link taken down drops frames, taken up again delivers them")
  func linkDown() throws {
    let bed = try bed()
    let address = try #require(bed.offerBuffer(2000))
    bed.device.setLink(up: false)
    try bed.hostSend(frame(60))
    #expect(eventually { bed.dropped == 1 })
    bed.device.setLink(up: true)
    try bed.hostSend(frame(61))
    let used = try #require(try bed.queue.awaitUsed())
    #expect(bed.read(address, used.written).frame == frame(61))
  }

  /// A frame after the trouble arrives.
  private func expectStillServing(_ bed: NetBed) throws {
    let address = try #require(bed.offerBuffer(2000, token: 0xfeed))
    try bed.hostSend(frame(77, seed: 99))
    let used = try #require(try bed.queue.awaitUsed())
    #expect(used.token == 0xfeed)
    #expect(bed.read(address, used.written).frame == frame(77, seed: 99))
  }
}
