// SPDX-License-Identifier: Apache-2.0

import Glibc
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

/// A disk that goes round the page cache and believes in another alignment than the file's own.
private final class MistakenDisk: Device {
  let id = DeviceID.block
  let name = "block0"
  let offeredFeatures = Features.allRing
  let queueSizes: [UInt16] = [256]
  let configurationChange = ChangeSignal()
  let statistics = [QueueStatistics()]
  private let state: BlockState
  private let image: BlockImage
  private let engine: BlockOptions.Engine
  private let alignment: DirectAlignment

  init(
    _ image: TestImage, _ engine: BlockOptions.Engine, _ alignment: DirectAlignment
  ) throws {
    var options = image.options
    options.cache = .none
    self.engine = engine
    self.alignment = alignment
    self.image = try BlockImage(options)
    state = BlockState(
      options, capacity: try self.image.readSize() / 512, trouble: TroubleReport(nil))
  }

  func configuration() -> [UInt8] { [] }
  func driverAccepted(_ features: Features) { state.accept(features) }
  func reset() { state.reset() }

  func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    let file = try image.openFile()
    do throws(Errno) {
      let mistaken = ImageFile(
        buffered: try file.buffered.duplicate(),
        direct: try FileDescriptor.duplicating(file.mainDescriptor), alignment: alignment)
      guard engine == .uring else {
        return try QueueWorker.start(
          name: name, queue: queue, body: ThreadEngine(file: mistaken, state: state),
          wiring: wiring, statistics: statistics[0])
      }
      let ring = try IOUring(entries: 16, descriptor: mistaken.mainDescriptor)
      return try QueueWorker.start(
        name: name, queue: queue,
        body: UringEngine(ring: ring, file: mistaken, state: state, depth: 16), wiring: wiring,
        statistics: statistics[0])
    } catch {
      throw DeviceError("start", error)
    }
  }
}

/// How many pages of a file are in the page cache (mincore(2)).
private func cachedPages(of file: borrowing FileDescriptor, byteCount: Int) throws -> Int {
  let address = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, file.raw, 0)
  guard let address = unsafe address, unsafe address != MAP_FAILED else { throw Errno.current }
  defer { unsafe munmap(address, byteCount) }
  var pages = [UInt8](repeating: 0, count: byteCount / 4096)
  guard unsafe mincore(address, byteCount, &pages) == 0 else { throw Errno.current }
  return pages.count { $0 & 1 != 0 }
}

@Suite("Direct I/O", .timeLimit(.minutes(20)))
struct BlockDirectTests {
  @Test(
    "serves buffers of any alignment even where the kernel promised too much",
    arguments: BlockVariant.engines, [1, 4096])
  func alignment(variant: BlockVariant, alignment: Int) throws {
    let image = try TestImage(pattern(65536))
    let disk = try MistakenDisk(
      image, variant.engine, DirectAlignment(memory: alignment, offset: alignment))
    let bed = try BlockBed(disk)
    let place = bed.queue.space.take(16384, alignment: 4096)
    for (sector, address) in [(8, place + 4097), (9, place + 4096), (17, place + 8200)] {
      bed.memory.write(BlockBed.header(BlockType.write, UInt64(sector)), at: place)
      bed.memory.write(pattern(4096, seed: sector), at: address)
      _ = try bed.send([
        .readable(place, 16), .readable(address, 4096), .writable(place + 64, 1),
      ])
      #expect(bed.memory.load(UInt8.self, at: place + 64) == 0)
      #expect(try image.bytes(at: sector * 512, count: 4096) == pattern(4096, seed: sector))
      bed.memory.fill(0, at: address, count: 4096)
      bed.memory.write(BlockBed.header(BlockType.read, UInt64(sector)), at: place)
      let used = try bed.send([
        .readable(place, 16), .writable(address, 4096), .writable(place + 64, 1),
      ])
      #expect(used.written == 4097)
      #expect(bed.memory.bytes(at: address, count: 4096) == pattern(4096, seed: sector))
    }
  }

  @Test("leaves the page cache alone")
  func pageCache() throws {
    let image = try TestImage(byteCount: 4 << 20)
    var options = image.options
    options.cache = .none
    let bed = try BlockBed(try BlockDevice(name: "block0", options: options))
    for sector in stride(from: 0, to: 8192, by: 128) {
      #expect(try bed.write(UInt64(sector), pattern(65536, seed: sector)).status == 0)
    }
    #expect(try bed.read(0, 65536).data == pattern(65536, seed: 0))
    let file = try FileDescriptor.open(image.path, .readOnly)
    #expect(try cachedPages(of: file, byteCount: 4 << 20) == 0)
  }
}
