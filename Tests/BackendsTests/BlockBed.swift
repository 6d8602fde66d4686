// SPDX-License-Identifier: Apache-2.0
//
// BlockBed: a disk's queue with a driver that speaks the block protocol on the other end.

@testable import Backends
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

/// What a disk answered.
struct BlockAnswer: Equatable {
  /// The status byte; 0xee where the disk did not write it.
  var status: UInt8
  /// As the used ring says.
  var written: UInt32
  /// The data buffer afterwards.
  var data: [UInt8] = []

  static let untouched: UInt8 = 0xee
}

/// The types of requests on the wire.
enum BlockType {
  static let read: UInt32 = 0
  static let write: UInt32 = 1
  static let scsi: UInt32 = 2
  static let flush: UInt32 = 4
  static let identify: UInt32 = 8
  static let barrier: UInt32 = 0x8000_0000
}

/// An image in a directory of its own.
final class TestImage {
  let directory: TemporaryDirectory
  let path: String

  init(byteCount: Int, name: String = "disk.img") throws {
    directory = try TemporaryDirectory()
    path = directory.file(name)
    let file = try FileDescriptor.open(path, [.readWrite, .create])
    try file.truncate(to: UInt64(byteCount))
  }

  init(_ bytes: [UInt8], name: String = "disk.img") throws {
    directory = try TemporaryDirectory()
    path = try directory.makeFile(name, bytes)
  }

  var options: BlockOptions { BlockOptions(path: path) }

  func bytes(at offset: Int, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let file = try FileDescriptor.open(path, .readOnly)
    let read = try file.read(into: &bytes, at: UInt64(offset))
    return Array(bytes[..<read])
  }

  func resize(to byteCount: Int) throws {
    try FileDescriptor.open(path, .readWrite).truncate(to: UInt64(byteCount))
  }
}

/// Makes a disk whose image may have been another's just before: it is in use until no program that starts has
/// that one's descriptors any more.
func blockDevice(
  name: String = "block0", _ options: BlockOptions
) throws(DeviceError) -> BlockDevice {
  let end = ContinuousClock.now + soon
  while true {
    do {
      return try BlockDevice(name: name, options: options)
    } catch {
      let isInUse = ["in use by another process", "this machine uses it otherwise"].contains {
        error.description.contains($0)
      }
      guard isInUse, ContinuousClock.now < end else { throw error }
    }
    pause(.milliseconds(1))
  }
}

final class BlockBed {
  let queue: QueueBed
  let device: any Device
  private let header: UInt64
  private let data: UInt64
  private let status: UInt64
  /// The largest data of one request here.
  static let dataByteCount = 0x10000

  /// What a modern driver accepts.
  static let modern: Features = [.version1, .blockFlush, .blockConfigWriteback]

  /// - Parameter accepted: what the driver settles on; nil leaves the device as it is.
  init(
    _ device: any Device, index: Int = 0, _ format: QueueFormat = .split, size: UInt16 = 16,
    ring: Features = [.indirectDescriptors, .eventIndex], accepted: Features? = BlockBed.modern,
    started: Bool = true
  ) throws {
    self.device = device
    if let accepted { device.driverAccepted(accepted) }
    queue = try QueueBed(
      device, index: index, format, size: size, features: ring, started: started)
    header = queue.space.take(64, alignment: 4096)
    data = queue.space.take(UInt64(Self.dataByteCount), alignment: 4096)
    status = queue.space.take(64, alignment: 64)
  }

  var memory: TestMemory { queue.memory }

  static func header(_ type: UInt32, _ sector: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: type >> (8 * shift))) }
    bytes += [0, 0, 0, 0]
    for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: sector >> (8 * shift))) }
    return bytes
  }

  /// Sends a chain and waits for it.
  func send(_ buffers: [DriverBuffer], shape: ChainShape = .direct) throws -> UsedChain {
    try #require(queue.offer(buffers, shape: shape))
    return try #require(try queue.awaitUsed(), "the disk gave nothing back")
  }

  /// One request in the usual shape: header, data, status.
  func request(
    _ type: UInt32, sector: UInt64 = 0, out: [UInt8] = [], room: Int = 0
  ) throws -> BlockAnswer {
    memory.write(Self.header(type, sector), at: header)
    memory.store(BlockAnswer.untouched, at: status)
    var buffers = [DriverBuffer.readable(header, 16)]
    if !out.isEmpty {
      memory.write(out, at: data)
      buffers.append(.readable(data, UInt32(out.count)))
    }
    if room > 0 {
      memory.fill(BlockAnswer.untouched, at: data, count: UInt64(room))
      buffers.append(.writable(data, UInt32(room)))
    }
    buffers.append(.writable(status, 1))
    let used = try send(buffers)
    return BlockAnswer(
      status: memory.load(UInt8.self, at: status), written: used.written,
      data: memory.bytes(at: data, count: room))
  }

  func read(_ sector: UInt64, _ byteCount: Int) throws -> BlockAnswer {
    try request(BlockType.read, sector: sector, room: byteCount)
  }

  func write(_ sector: UInt64, _ bytes: [UInt8]) throws -> BlockAnswer {
    try request(BlockType.write, sector: sector, out: bytes)
  }

  func flush() throws -> BlockAnswer { try request(BlockType.flush) }

  func stop() { queue.stop() }

  /// How many chains the disk has shown as used. - Precondition: a split ring.
  var usedCount: Int {
    guard case .split(_, _, let used) = queue.plan.layout else { preconditionFailure("not split") }
    return Int(memory.load(UInt16.self, at: used + 2))
  }
}

/// Bytes that differ from sector to sector and from byte to byte.
func pattern(_ count: Int, seed: Int = 1) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ (($0 >> 9) &* 7) ^ (seed &* 101)) }
}

/// What there is to try everything with.
struct BlockVariant: CustomStringConvertible, Sendable {
  var engine: BlockOptions.Engine
  var cache = BlockOptions.Cache.writeback
  var format = QueueFormat.split

  var description: String { "\(engine), cache=\(cache), \(format)" }

  static let all: [BlockVariant] = [BlockOptions.Engine.uring, .threads].flatMap { engine in
    BlockOptions.Cache.allCases.flatMap { cache in
      QueueFormat.allCases.map { BlockVariant(engine: engine, cache: cache, format: $0) }
    }
  }

  static let engines: [BlockVariant] = [
    BlockVariant(engine: .uring), BlockVariant(engine: .threads),
  ]

  func device(
    _ image: TestImage, log: LineCollector? = nil, _ change: (inout BlockOptions) -> Void = { _ in }
  ) throws -> BlockDevice {
    var options = image.options
    options.engine = engine
    options.cache = cache
    options.onTrouble = log?.hook
    change(&options)
    return try blockDevice(options)
  }
}
