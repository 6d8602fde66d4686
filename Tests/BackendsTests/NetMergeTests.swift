// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@Suite("A receive queue with mergeable buffers", .timeLimit(.minutes(20)))
struct NetMergeTests {
  private func bed(
    _ format: QueueFormat = .split, size: UInt16 = 128, features: Features = [],
    isPatient: Bool = false
  ) throws -> NetBed {
    try NetBed(
      NetBed.receive, format, size: size,
      features: features.union([.netMergeBuffers, .indirectDescriptors, .eventIndex]),
      isPatient: isPatient)
  }

  /// Takes the next frame from buffers of one size; their addresses are the tokens.
  private func receive(_ bed: NetBed, bufferSize: Int) throws -> (header: RawHeader, frame: [UInt8])
  {
    let first = try #require(try bed.queue.awaitUsed())
    let header = RawHeader(bed.queue.memory.bytes(at: first.token, count: 12))
    var bytes = bed.queue.memory.bytes(at: first.token, count: Int(first.written))
    for index in 1..<max(1, Int(header.bufferCount)) {
      #expect(bytes.count == index * bufferSize, "only the last buffer is not full")
      // All buffers of a frame are given back together: none is waited for.
      let next = try #require(try bed.queue.collect())
      bytes += bed.queue.memory.bytes(at: next.token, count: Int(next.written))
    }
    return (header, Array(bytes.dropFirst(12)))
  }

  private func offer(_ bed: NetBed, _ byteCount: UInt32) -> Bool {
    let address = bed.queue.space.take(UInt64(byteCount))
    return bed.queue.offer([.writable(address, byteCount)], token: address)
  }

  @Test("spreads a frame over as many buffers as it takes", arguments: QueueFormat.allCases)
  func spreads(format: QueueFormat) throws {
    let bed = try bed(format)
    for (index, size) in [60, 1524, 1525, 3060, 9000, 65_553, 60, 40_000, 65_553].enumerated() {
      for _ in 0..<(size + 12 + 1535) / 1536 { #expect(offer(bed, 1536)) }
      try bed.hostSend(frame(size, seed: UInt8(index + 1)))
      let received = try receive(bed, bufferSize: 1536)
      #expect(received.header == RawHeader(bufferCount: UInt16((size + 12 + 1535) / 1536)))
      #expect(received.frame == frame(size, seed: UInt8(index + 1)))
    }
    #expect(bed.dropped == 0)
    #expect(bed.errors == 0)
  }

  @Test("is served in order", arguments: QueueFormat.allCases)
  func inOrder(format: QueueFormat) throws {
    let bed = try bed(format, features: .inOrder)
    for index in 0..<40 {
      let size = [60, 5000, 200, 20_000][index % 4]
      for _ in 0..<(size + 12 + 1535) / 1536 { #expect(offer(bed, 1536)) }
      try bed.hostSend(frame(size, seed: UInt8(index + 1)))
      #expect(try receive(bed, bufferSize: 1536).frame == frame(size, seed: UInt8(index + 1)))
    }
  }

  @Test(
    "num_buffers is there before any of the buffers is given back (CVE-2021-3748, CVE-2022-26353)",
    arguments: QueueFormat.allCases)
  func countBeforeBuffers(format: QueueFormat) throws {
    let bed = try bed(format)
    var seen = 0
    for round in 0..<200 {
      var first: UInt64 = 0
      for index in 0..<4 {
        let address = bed.queue.space.take(1536)
        if index == 0 {
          first = address
          bed.queue.memory.fill(0xee, at: address, count: 12)
        }
        #expect(bed.queue.offer([.writable(address, 1536)], token: address))
      }
      try bed.hostSend(frame(6000, seed: UInt8(round & 0x7f | 1)))
      // Spin as a polling driver does: the first look that finds a buffer finds all.
      var used: UsedChain?
      let end = ContinuousClock.now + soon
      while used == nil, ContinuousClock.now < end { used = try bed.queue.collect() }
      try #require(used?.token == first, "frame \(round)")
      #expect(RawHeader(bed.queue.memory.bytes(at: first, count: 12)).bufferCount == 4)
      for _ in 0..<3 { seen += try bed.queue.collect() == nil ? 0 : 1 }
    }
    #expect(seen == 600)
  }

  @Test("waits a moment for the rest of the buffers, and delivers the frame whole")
  func lateBuffers() throws {
    let bed = try bed(isPatient: true)
    #expect(offer(bed, 1536))
    try bed.hostSend(frame(6000))
    usleep(3_000)
    #expect(offer(bed, 1536))
    #expect(offer(bed, 1536))
    usleep(2_000)
    #expect(offer(bed, 1536))
    #expect(try receive(bed, bufferSize: 1536).frame == frame(6000))
    #expect(bed.dropped == 0)
  }

  @Test("a frame for which no buffers come is dropped, the buffers kept")
  func noBuffers() throws {
    let bed = try bed()
    #expect(offer(bed, 1536))
    #expect(offer(bed, 1536))
    try bed.hostSend(frame(6000))
    #expect(eventually { bed.dropped == 1 })
    try bed.hostSend(frame(2000))
    #expect(try receive(bed, bufferSize: 1536).frame == frame(2000))
    #expect(bed.chains == 2)
  }

  @Test("a stop while the rest of the buffers is awaited leaves nothing in flight")
  func stopWhileWaiting() throws {
    let bed = try bed(isPatient: true)
    #expect(offer(bed, 1536))
    try bed.hostSend(frame(60_000))
    #expect(eventually { bed.unreadBytes == 0 })
    bed.queue.stop()
    #expect(bed.queue.inFlightCount == 0)
    #expect(bed.dropped == 1)
    try bed.queue.start()
    try bed.hostSend(frame(1000))
    #expect(try receive(bed, bufferSize: 1536).frame == frame(1000))
  }

  @Test("takes buffers of any size and number of pieces, empty ones too")
  func oddBuffers() throws {
    let bed = try bed()
    var random = SplitMix(seed: 1)
    for round in 0..<60 {
      let size = Int.random(in: 14...3000, using: &random)
      var room = 0
      var places: [[UInt64]] = []
      while room < size + 12 {
        let pieces = Int.random(in: 1...4, using: &random)
        var buffers: [DriverBuffer] = []
        var bytes: [UInt64] = []
        for _ in 0..<pieces {
          let count = UInt32.random(in: room == 0 ? 12...400 : 1...400, using: &random)
          let address = bed.queue.space.take(UInt64(count))
          buffers.append(.writable(address, count))
          bytes += (0..<UInt64(count)).map { address + $0 }
        }
        room += bytes.count
        #expect(bed.queue.offer(buffers, token: UInt64(places.count)))
        places.append(bytes)
      }
      try bed.hostSend(frame(size, seed: UInt8(round + 1)))
      var got: [UInt8] = []
      for index in 0..<places.count {
        let used = try #require(try bed.queue.awaitUsed())
        #expect(used.token == UInt64(index))
        for address in places[index].prefix(Int(used.written)) {
          got.append(bed.queue.memory.load(UInt8.self, at: address))
        }
      }
      #expect(RawHeader(got.prefix(12)).bufferCount == UInt16(places.count))
      #expect(Array(got.dropFirst(12)) == frame(size, seed: UInt8(round + 1)))
    }
    #expect(bed.dropped == 0)
  }

  @Test("buffers too small for any long frame cost that frame, not the queue")
  func tinyBuffers() throws {
    let bed = try bed(size: 256)
    for _ in 0..<100 { #expect(offer(bed, 16)) }
    try bed.hostSend(frame(2000))
    #expect(eventually { bed.dropped == 1 })
    try bed.hostSend(frame(100))
    #expect(try receive(bed, bufferSize: 16).frame == frame(100))
  }

  @Test("a buffer of 1024 pieces is filled")
  func manyPieces() throws {
    let bed = try NetBed(
      NetBed.receive, size: 1024, features: .netMergeBuffers, byteCount: 0x10_0000)
    let start = bed.queue.space.take(8192)
    #expect(
      bed.queue.offer((0..<1024).map { .writable(start + $0 * 8, 8) }, token: start))
    try bed.hostSend(frame(8180))
    #expect(try receive(bed, bufferSize: 8192).frame == frame(8180))
  }
}
