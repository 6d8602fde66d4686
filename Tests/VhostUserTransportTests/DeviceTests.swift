// SPDX-License-Identifier: Apache-2.0
//
// Real devices behind the socket.

import Backends
import HostTesting
import Linux
import Synchronization
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// A disk as its driver sees it.
private final class DiskClient {
  let frontEnd: FrontEnd
  var ring: FrontEndRing
  private let header: UInt64
  private let data: UInt64
  private let status: UInt64
  static let dataByteCount = 64 * 4096

  init(_ frontEnd: FrontEnd, _ features: Features, queue: Int = 0) throws {
    self.frontEnd = frontEnd
    ring = try frontEnd.bringUp(features.union(Features(rawValue: 1 << 9)), queue: queue, size: 128)
    header = frontEnd.space.take(64 * 64)
    data = frontEnd.space.take(UInt64(Self.dataByteCount), alignment: 4096)
    status = frontEnd.space.take(64)
  }

  private var memory: TestMemory { frontEnd.memory.memory }

  private func setHeader(_ slot: UInt64, _ type: UInt32, sector: UInt64) -> UInt64 {
    var bytes: [UInt8] = []
    bytes.append32(type)
    bytes.append32(0)
    bytes.append64(sector)
    memory.write(bytes, at: header + slot * 64)
    memory.store(UInt8(0xff), at: status + slot)
    return header + slot * 64
  }

  /// Writes a page to each of 32 places, all in flight at once. - Returns: the statuses.
  func writeAll(_ value: UInt8) throws -> Set<UInt8> {
    for slot in 0..<32 as Range<UInt64> {
      memory.fill(value &+ UInt8(slot), at: data + slot * 4096, count: 4096)
      let header = setHeader(slot, 1, sector: slot * 8)
      let isOffered = ring.offer([
        .readable(header, 16), .readable(data + slot * 4096, 4096), .writable(status + slot, 1),
      ])
      guard isOffered else { throw FrontEndError.badRing }
    }
    return try collect(32)
  }

  /// Reads 32 pages, all in flight at once. - Returns: the first byte of each.
  func readAll() throws -> [UInt8] {
    for slot in 0..<32 as Range<UInt64> {
      let header = setHeader(slot, 0, sector: slot * 8)
      let isOffered = ring.offer([
        .readable(header, 16), .writable(data + slot * 4096, 4096), .writable(status + slot, 1),
      ])
      guard isOffered else { throw FrontEndError.badRing }
    }
    guard try collect(32) == [0] else { throw FrontEndError.badRing }
    return (0..<32).map { memory.load(UInt8.self, at: data + $0 * 4096) }
  }

  func flush() throws -> Set<UInt8> {
    let header = setHeader(0, 4, sector: 0)
    guard ring.offer([.readable(header, 16), .writable(status, 1)]) else {
      throw FrontEndError.badRing
    }
    return try collect(1)
  }

  /// Makes writes available and does not wait for them.
  func writeAndLeave() {
    for slot in 0..<32 as Range<UInt64> {
      let header = setHeader(slot, 1, sector: slot * 8)
      _ = ring.offer([
        .readable(header, 16), .readable(data + slot * 4096, 4096), .writable(status + slot, 1),
      ])
    }
  }

  private func collect(_ count: Int) throws -> Set<UInt8> {
    for _ in 0..<count { _ = try ring.collect() }
    return Set((0..<UInt64(count)).map { memory.load(UInt8.self, at: status + $0) })
  }
}

@Suite(.timeLimit(.minutes(20))) struct DeviceTests {
  private func makeDisk(
    _ directory: TemporaryDirectory, _ engine: BlockOptions.Engine, queues: Int = 1
  ) throws -> (device: BlockDevice, image: String) {
    let path = directory.file("disk.img")
    let image = try FileDescriptor.open(path, [.readWrite, .create])
    try image.truncate(to: 1 << 20)
    var options = BlockOptions(path: path)
    options.engine = engine
    options.queueCount = queues
    return (try BlockDevice(name: "block0", options: options), path)
  }

  @Test(
    "a disk is written, flushed and read, also by the next front-end", arguments: formats,
    [BlockOptions.Engine.uring, .threads])
  func disk(_ features: Features, _ engine: BlockOptions.Engine) throws {
    let directory = try TemporaryDirectory()
    let (device, image) = try makeDisk(directory, engine)
    defer { try? FileSystem.remove(image) }
    let bed = try ServerBed([device], in: directory)
    for round: UInt8 in [10, 100] {
      do {
        let client = try DiskClient(try bed.frontEnd(), features)
        let capacity = PayloadReader.word(try client.frontEnd.readConfiguration(byteCount: 8))
        #expect(capacity == 2048)
        #expect(try client.writeAll(round) == [0])
        #expect(try client.flush() == [0])
        #expect(try client.readAll() == (0..<32).map { round + $0 })
      }
      let client = try DiskClient(try bed.frontEnd(), features)
      #expect(try client.readAll() == (0..<32).map { round + $0 })
    }
    #expect(bed.stop())
  }

  @Test(
    "a front-end that is gone with requests in flight leaves the disk whole", arguments: formats)
  func goneInFlight(_ features: Features) throws {
    let directory = try TemporaryDirectory()
    let (device, image) = try makeDisk(directory, .auto)
    defer { try? FileSystem.remove(image) }
    let bed = try ServerBed([device], in: directory)
    for _ in 0..<20 {
      let client = try DiskClient(try bed.frontEnd(), features)
      client.writeAndLeave()
    }
    let client = try DiskClient(try bed.frontEnd(), features)
    #expect(try client.writeAll(7) == [0])
    #expect(try client.readAll() == (0..<32).map { 7 + $0 })
    #expect(bed.stop())
  }

  @Test("memory that is cut off under a disk's requests is that front-end's trouble alone")
  func truncatedInFlight() throws {
    let directory = try TemporaryDirectory()
    let (device, image) = try makeDisk(directory, .auto)
    defer { try? FileSystem.remove(image) }
    let bed = try ServerBed([device], in: directory)
    for _ in 0..<5 {
      let client = try DiskClient(try bed.frontEnd(), formats[0])
      client.writeAndLeave()
      try client.frontEnd.memory.truncate(region: 0, to: 0)
      client.ring.kick.signal()
      try client.frontEnd.raw.waitForClose()
    }
    #expect(try DiskClient(try bed.frontEnd(), formats[0]).writeAll(7) == [0])
    #expect(bed.stop())
  }

  @Test("each queue of a disk is served", arguments: formats)
  func manyQueues(_ features: Features) throws {
    let directory = try TemporaryDirectory()
    let (device, image) = try makeDisk(directory, .auto, queues: 4)
    defer { try? FileSystem.remove(image) }
    let bed = try ServerBed([device], in: directory)
    let frontEnd = try bed.frontEnd()
    #expect(try frontEnd.askNumber(.getQueueCount) == 4)
    let clients = try (0..<4).map { try DiskClient(frontEnd, features, queue: $0) }
    for (index, client) in clients.enumerated() {
      #expect(try client.writeAll(UInt8(index)) == [0])
    }
    #expect(try clients[0].readAll() == (0..<32).map { 3 + $0 })
    for counters in device.statistics {
      #expect(counters.chains >= 32)
    }
  }

  @Test("random numbers fill whole buffers", arguments: formats)
  func rng(_ features: Features) throws {
    let bed = try ServerBed([try RngDevice(name: "rng0")])
    let frontEnd = try bed.frontEnd()
    var ring = try frontEnd.bringUp(features)
    let target = frontEnd.space.take(4096)
    let isOffered = ring.offer([.writable(target, 4096)])
    #expect(isOffered)
    let used = try ring.collect()
    #expect(used.written == 4096)
    #expect(Set(frontEnd.memory.memory.bytes(at: target, count: 4096)).count > 200)
    #expect(try frontEnd.readConfiguration(byteCount: 4) == [0, 0, 0, 0])
  }
}

extension PayloadReader {
  /// The number that eight bytes are.
  fileprivate static func word(_ bytes: [UInt8]) -> UInt64? {
    var reader = PayloadReader(bytes)
    return reader.read64()
  }
}
