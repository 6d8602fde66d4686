// SPDX-License-Identifier: Apache-2.0
//
// BlockBatch: a disk with a recorder in its image's place, and a driver that offers many requests at once.

import HostTesting
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

/// A bed whose requests are all there before the disk starts to look.
struct BlockBatch {
  /// In which order a ring of the test's own completes: in that of the requests, and in some others.
  static let seeds: [UInt64?] = [nil, 1, 2, 3, 4, 5]

  let image: TestImage
  let disk: RecordedDisk
  let bed: BlockBed
  let recorder: BlockRecorder

  /// - Parameter started: true for requests that are made one by one, without `run`.
  init(
    _ engine: RecordedDisk.Engine, _ plan: BlockRecorder.Plan = BlockRecorder.Plan(),
    accepted: Features = BlockBed.modern, isLegacy: Bool = false,
    cache: BlockOptions.Cache = .writeback, log: LineCollector? = nil, started: Bool = false
  ) throws {
    image = try TestImage(byteCount: 65536)
    recorder = BlockRecorder(plan)
    disk = try RecordedDisk(image, engine, recorder, isLegacy: isLegacy, cache: cache, log: log)
    bed = try BlockBed(disk, size: 64, accepted: accepted, started: false)
    recorder.watch(bed)
    if started { try bed.queue.start() }
  }

  /// Offers requests by type and sector, writes of a sector each, and starts the disk.
  ///
  /// - Returns: the statuses in the order of the requests, and the requests in the order in which they
  ///   came back.
  func run(_ requests: [(type: UInt32, sector: Int)]) throws -> (statuses: [UInt8], order: [Int]) {
    var places: [UInt64] = []
    for (index, request) in requests.enumerated() {
      let place = bed.queue.space.take(1024, alignment: 1024)
      places.append(place)
      bed.memory.write(BlockBed.header(request.type, UInt64(request.sector)), at: place)
      bed.memory.write(pattern(512, seed: index), at: place + 16)
      bed.memory.store(BlockAnswer.untouched, at: place + 600)
      var buffers = [DriverBuffer.readable(place, 16)]
      if request.type & 0xff == BlockType.write { buffers.append(.readable(place + 16, 512)) }
      if request.type & 0xff == BlockType.read { buffers.append(.writable(place + 16, 512)) }
      buffers.append(.writable(place + 600, 1))
      try #require(bed.queue.offer(buffers, token: UInt64(index)))
    }
    try bed.queue.start()
    var order: [Int] = []
    for _ in requests { order.append(Int(try #require(try bed.queue.awaitUsed()).token)) }
    return (places.map { bed.memory.load(UInt8.self, at: $0 + 600) }, order)
  }

  /// Where an event is in the record.
  func index(_ operation: BlockOperation, isEnd: Bool, from start: Int = 0) throws -> Int {
    try #require(
      recorder.events[start...].firstIndex { $0.operation == operation && $0.isEnd == isEnd },
      "\(operation) is not in \(recorder.events)")
  }
}
