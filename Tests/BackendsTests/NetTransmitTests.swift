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
  .netChecksum, .netHostTSO4, .netHostTSO6, .netHostECN, .netHostUFO,
]

@Suite("A network device's transmit queue", .timeLimit(.minutes(20)))
struct NetTransmitTests {
  private func bed(
    _ format: QueueFormat = .split, size: UInt16 = 64, features: Features = [],
    pair: PacketPair? = nil, name: String = "net0"
  ) throws -> NetBed {
    try NetBed(
      NetBed.transmit, format, size: size,
      features: features.union([.indirectDescriptors, .eventIndex]), pair: pair, name: name)
  }

  @Test("passes frames on in order and gives their buffers back", arguments: QueueFormat.allCases)
  func inOrder(format: QueueFormat) throws {
    let bed = try bed(format)
    let sizes = [14, 60, 64, 1514, 9014, 65553]
    for (index, size) in sizes.enumerated() {
      let sent = frame(size, seed: UInt8(index + 1))
      #expect(bed.send(sent, token: UInt64(index)))
      let received = try bed.hostReceive()
      #expect(received?.header == RawHeader())
      #expect(received?.frame == sent)
      let used = try bed.queue.awaitUsed()
      #expect(used?.token == UInt64(index))
      #expect(used?.written == 0)
    }
    #expect(bed.chains == UInt64(sizes.count))
    #expect(bed.bytes == UInt64(sizes.reduce(0, +)))
    #expect(bed.errors == 0)
  }

  @Test("serves many frames", arguments: QueueFormat.allCases)
  func many(format: QueueFormat) throws {
    let bed = try bed(format)
    let address = bed.queue.space.take(2048)
    bed.queue.memory.write(RawHeader().bytes(12) + frame(100), at: address)
    let length = UInt32(bed.headerSize + 98)
    for round in 0..<50 {
      for index in 0..<32 {
        #expect(bed.queue.offer([.readable(address, length)], token: UInt64(round * 32 + index)))
      }
      for _ in 0..<32 { #expect(try bed.hostReceive()?.frame.count == 98) }
      for index in 0..<32 {
        #expect(try bed.queue.awaitUsed()?.token == UInt64(round * 32 + index))
      }
    }
    #expect(bed.chains == 1600)
  }

  @Test("takes a header of its own, and one that shares a buffer with the frame")
  func anyLayout() throws {
    let bed = try bed()
    let sent = frame(200)
    let address = bed.queue.space.take(512)
    bed.queue.memory.write(RawHeader().bytes(12) + sent, at: address)
    #expect(bed.queue.offer([.readable(address, 12), .readable(address + 12, 200)]))
    #expect(try bed.hostReceive()?.frame == sent)
    #expect(bed.queue.offer([.readable(address, 100), .readable(address + 100, 112)]))
    #expect(try bed.hostReceive()?.frame == sent)
  }

  @Test(
    "takes a header that is split over 1-byte descriptors (CVE-2022-2132)",
    arguments: QueueFormat.allCases)
  func splitHeader(format: QueueFormat) throws {
    let bed = try bed(format, features: offloads)
    let sent = frame(90)
    let header = RawHeader(flags: 1, checksumStart: 34, checksumOffset: 6)
    let address = bed.queue.space.take(512)
    bed.queue.memory.write(header.bytes(bed.headerSize) + sent, at: address)
    let buffers =
      (0..<bed.headerSize + 2).map { DriverBuffer.readable(address + UInt64($0), 1) }
      + [.readable(address + UInt64(bed.headerSize + 2), 88)]
    #expect(bed.queue.offer(buffers, shape: .indirect))
    let received = try bed.hostReceive()
    #expect(received?.header == header)
    #expect(received?.frame == sent)
  }

  @Test(
    "a chain shorter than the header, or without a frame, is dropped and given back",
    arguments: [1, 9, 11, 12, 13, 25])
  func shortChain(byteCount: Int) throws {
    let bed = try bed()
    #expect(bed.queue.offer([UInt8](repeating: 0, count: byteCount), token: 7))
    #expect(try bed.queue.awaitUsed()?.token == 7)
    #expect(bed.errors == 1)
    try expectStillServing(bed)
  }

  @Test("a frame longer than any can be is dropped and given back")
  func longFrame() throws {
    let bed = try bed()
    #expect(bed.send(frame(65554), token: 8))
    #expect(try bed.queue.awaitUsed()?.token == 8)
    let address = bed.queue.space.take(0x10_0000)
    #expect(
      bed.queue.offer([.readable(address, 0x10_0000), .readable(address, 0x10_0000)], token: 9))
    #expect(try bed.queue.awaitUsed()?.token == 9)
    #expect(bed.errors == 2)
    try expectStillServing(bed)
  }

  @Test("a frame in more pieces than a system call takes is dropped and given back")
  func manyPieces() throws {
    let bed = try NetBed(
      NetBed.transmit, size: 1024, features: [], byteCount: 0x10_0000)
    let address = bed.queue.space.take(4096)
    // 12 bytes of header and one of the frame, then 1023 bytes one by one.
    let buffers =
      [DriverBuffer.readable(address, 13)] + (0..<1023).map { _ in .readable(address + 13, 1) }
    #expect(bed.queue.offer(buffers, token: 3))
    #expect(try bed.queue.awaitUsed()?.token == 3)
    #expect(bed.errors == 1)
    // One less fits.
    #expect(bed.queue.offer(Array(buffers.dropLast(2)), token: 4))
    #expect(try bed.hostReceive()?.frame.count == 1022)
  }

  @Test("a device-writable buffer in the transmit queue is neither read nor written")
  func writableBuffer() throws {
    let bed = try bed()
    let address = bed.queue.space.take(256)
    bed.queue.memory.fill(0xaa, at: address, count: 256)
    #expect(bed.queue.offer([.writable(address, 100)], token: 1))
    let used = try bed.queue.awaitUsed()
    #expect(used?.token == 1)
    #expect(used?.written == 0)
    #expect(bed.errors == 1)
    let header = bed.queue.space.take(72)
    #expect(bed.queue.offer([.readable(header, 72), .writable(address, 100)], token: 2))
    #expect(try bed.hostReceive()?.frame.count == 60)
    #expect(bed.queue.memory.bytes(at: address, count: 256).allSatisfy { $0 == 0xaa })
  }

  @Test(
    "csum_start past the packet (CVE-2024-11614), bad gso_type, gso_size 0: the frame is dropped",
    arguments: [
      RawHeader(flags: 1, checksumStart: 60, checksumOffset: 0),
      RawHeader(flags: 1, checksumStart: 0xffff, checksumOffset: 0xffff),
      RawHeader(flags: 1, checksumStart: 34, checksumOffset: 25),
      RawHeader(flags: 0, gsoType: 2, gsoSize: 1000),
      RawHeader(flags: 0, gsoType: 0x80, gsoSize: 1000),
      RawHeader(flags: 1, gsoType: 1, gsoSize: 0, checksumStart: 34, checksumOffset: 16),
    ])
  func badHeader(header: RawHeader) throws {
    let bed = try bed(features: offloads)
    #expect(bed.send(header, frame(60), token: 11))
    #expect(try bed.queue.awaitUsed()?.token == 11)
    #expect(bed.errors == 1)
    #expect(bed.log.lines.count == 1)
    try expectStillServing(bed)
  }

  @Test("an offload that was not negotiated is dropped and given back")
  func notNegotiated() throws {
    let bed = try bed()
    #expect(bed.send(RawHeader(flags: 1, checksumStart: 34, checksumOffset: 6), frame(60)))
    #expect(bed.send(RawHeader(gsoType: 1, gsoSize: 1000), frame(60)))
    _ = try bed.queue.awaitUsed()
    _ = try bed.queue.awaitUsed()
    #expect(bed.errors == 2)
    try expectStillServing(bed)
  }

  @Test("a good header goes on as it is, without what means nothing")
  func goodHeader() throws {
    let bed = try bed(features: offloads)
    let large = RawHeader(
      flags: 1, gsoType: 0x81, headerLength: 54, gsoSize: 1448, checksumStart: 34,
      checksumOffset: 16)
    var noisy = large
    noisy.flags = 0xff
    noisy.bufferCount = 0x1234
    #expect(bed.send(noisy, frame(40_000)))
    let received = try bed.hostReceive()
    #expect(received?.header == large)
    #expect(received?.frame == frame(40_000))
  }

  @Test("a header changed between check and use never reaches the host")
  func changedHeader() throws {
    let bed = try bed(size: 128, features: offloads)
    let good = RawHeader(flags: 1, checksumStart: 34, checksumOffset: 6)
    let bad = RawHeader(
      flags: 1, gsoType: 0x7f, gsoSize: 0, checksumStart: 0xffff, checksumOffset: 0xffff)
    let address = bed.queue.space.take(128)
    bed.queue.memory.write(good.bytes(12) + frame(60), at: address)
    let memory = bed.queue.memory
    let isOver = Flag()
    let flipper = try WorkerThread.start(name: "flipper", state: 0) { [memory] _ in
      var isGood = false
      while !isOver.isSet {
        memory.write((isGood ? good : bad).bytes(12), at: address)
        isGood.toggle()
      }
      return 0
    }
    var received = 0
    for _ in 0..<40 {
      for _ in 0..<32 { #expect(bed.queue.offer([.readable(address, 72)])) }
      for _ in 0..<32 { #expect(try bed.queue.awaitUsed() != nil) }
      while let (header, _) = try bed.hostReceive(within: .zero) {
        received += 1
        // The flipper writes byte by byte, so headers may be mixed; what passed was checked whole.
        #expect(header.gsoType == 0)
        #expect(header.flags & ~1 == 0)
        #expect(header.flags == 0 || Int(header.checksumStart) + Int(header.checksumOffset) <= 58)
      }
    }
    isOver.set()
    _ = flipper.join()
    #expect(UInt64(received) + bed.errors == 1280)
  }

  /// A queue of 200 frames that wait for it to start, and a socket that holds few of them.
  private func crowded(name: String = "net0", isPatient: Bool = true) throws -> NetBed {
    let pair = try PacketPair()
    var size: Int32 = 1
    #expect(unsafe setsockopt(pair.device, SOL_SOCKET, SO_SNDBUF, &size, 4) == 0)
    let bed = try NetBed(
      NetBed.transmit, size: 256, features: [], pair: pair, name: name, started: false,
      isPatient: isPatient)
    for index in 0..<200 {
      #expect(bed.send(frame(64, seed: UInt8(index)), token: UInt64(index)))
    }
    return bed
  }

  @Test("a full tap is waited for, and no frame is lost or passed by another")
  func fullTap() throws {
    let bed = try crowded()
    try bed.queue.start()
    usleep(5_000)
    #expect(bed.chains < 100)
    for index in 0..<200 {
      #expect(try bed.hostReceive()?.frame == frame(64, seed: UInt8(index)))
    }
    for index in 0..<200 { #expect(try bed.queue.awaitUsed()?.token == UInt64(index)) }
    #expect(bed.dropped == 0)
  }

  @Test("a tap that stays full drops frames: all buffers come back, and nobody spins")
  func stuckTap() throws {
    let bed = try crowded(name: "stuck0", isPatient: false)
    try bed.queue.start()
    for index in 0..<200 { #expect(try bed.queue.awaitUsed()?.token == UInt64(index)) }
    #expect(bed.dropped > 100)
    // It has waited for a second, without a processor.
    #expect(try usedTime(ofThreads: "stuck0-tx") < .milliseconds(500))
    // As soon as it takes frames again they are all passed on.
    while try bed.hostReceive(within: .zero) != nil {}
    try expectStillServing(bed)
  }

  @Test("a stop while the tap is full gives the frame back to the ring, and it goes out later")
  func stopWhileFull() throws {
    let bed = try crowded()
    try bed.queue.start()
    usleep(5_000)
    bed.queue.stop()
    #expect(bed.queue.inFlightCount == 0)
    #expect(bed.chains < 100)
    try bed.queue.start()
    for index in 0..<200 {
      #expect(try bed.hostReceive()?.frame == frame(64, seed: UInt8(index)))
    }
    #expect(bed.dropped == 0)
  }

  @Test("when the host's end is gone the queue lives on and the link is down")
  func hostGone() throws {
    let pair = try PacketPair()
    let bed = try bed(pair: pair)
    let counter = SharedCounter()
    bed.device.configurationChange.observe { counter.value.add(1, ordering: .relaxed) }
    #expect(bed.device.isLinkUp)
    #expect(shutdown(pair.host, Int32(SHUT_RDWR)) == 0)
    for token in 0..<20 {
      #expect(bed.send(frame(60), token: UInt64(token)))
      #expect(try bed.queue.awaitUsed()?.token == UInt64(token))
    }
    #expect(!bed.device.isLinkUp)
    #expect(counter.value.load(ordering: .relaxed) == 1)
    #expect(bed.dropped == 20)
  }

  @Test("a link taken down drops frames, taken up again passes them")
  func linkDown() throws {
    let bed = try bed()
    bed.device.setLink(up: false)
    #expect(bed.send(frame(60), token: 1))
    #expect(try bed.queue.awaitUsed()?.token == 1)
    #expect(try bed.hostReceive(within: .milliseconds(20)) == nil)
    #expect(bed.dropped == 1)
    bed.device.setLink(up: true)
    try expectStillServing(bed)
  }

  @Test("the driver is called once for all frames of a batch")
  func batch() throws {
    let bed = try NetBed(NetBed.transmit, size: 64, features: [], started: false)
    for token in 0..<40 { #expect(bed.send(frame(60), token: UInt64(token))) }
    try bed.queue.start()
    for _ in 0..<40 { #expect(try bed.queue.awaitUsed() != nil) }
    #expect(bed.calls <= 2)
  }

  /// A frame after the trouble arrives.
  private func expectStillServing(_ bed: NetBed) throws {
    let sent = frame(77, seed: 99)
    #expect(bed.send(sent, token: 0xfeed))
    #expect(try bed.hostReceive()?.frame == sent)
    #expect(try bed.queue.awaitUsed()?.token == 0xfeed)
  }
}
