// SPDX-License-Identifier: Apache-2.0
//
// Random requests, many in flight, beside an image in an array. Requests in flight never touch a sector
// that one of them writes, so what each must find is known when it is sent.

import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

private final class RandomRun {
  private let bed: BlockBed
  private var model: [UInt8]
  private var random: SplitMix
  private let sectorCount: Int
  private let canFlush: Bool

  private struct Flight {
    var type: UInt32
    var sectors: Range<Int>
    var expected: [UInt8]
    var pieces: [DriverBuffer]
    var status: UInt64
  }
  private var flights: [Int: Flight] = [:]
  /// Guest memory of each request that can be in flight.
  private let places: [UInt64]
  private var freePlaces: [Int]
  private static let placeByteCount: UInt64 = 16384
  private(set) var mostInFlight = 0

  init(_ bed: BlockBed, _ model: [UInt8], seed: UInt64, depth: Int, canFlush: Bool) {
    self.bed = bed
    self.model = model
    self.canFlush = canFlush
    random = SplitMix(seed: seed)
    sectorCount = model.count / 512
    places = (0..<depth).map { _ in bed.queue.space.take(Self.placeByteCount, alignment: 4096) }
    freePlaces = Array(0..<depth)
  }

  func run(_ count: Int) throws -> [UInt8] {
    var left = count
    while left > 0 || !flights.isEmpty {
      while left > 0, try send() { left -= 1 }
      mostInFlight = max(mostInFlight, flights.count)
      // Not always all of them: so that batches of every size arise.
      try take(try #require(try bed.queue.awaitUsed(), "\(flights.count) are not given back"))
      while Int.random(in: 0..<4, using: &random) > 0, let used = try bed.queue.collect() {
        try take(used)
      }
    }
    return model
  }

  /// Sends a request. - Returns: false where there is no room for it now.
  private func send() throws -> Bool {
    guard let place = freePlaces.last else { return false }
    let type =
      canFlush && Int.random(in: 0..<20, using: &random) == 0
      ? BlockType.flush : [BlockType.read, BlockType.write].randomElement(using: &random) ?? 0
    let length = type == BlockType.flush ? 0 : Int.random(in: 1...16, using: &random)
    let first = Int.random(in: 0...(sectorCount - length), using: &random)
    let sectors = first..<first + length
    let clashes = flights.values.contains {
      $0.sectors.overlaps(sectors) && ($0.type == BlockType.write || type == BlockType.write)
    }
    guard !clashes else { return flights.isEmpty }
    let base = places[place]
    let bytes = sectors.lowerBound * 512..<sectors.upperBound * 512
    let start = base + 64 + UInt64.random(in: 0..<3, using: &random) * 173
    let isWritable = type == BlockType.read
    var pieces: [DriverBuffer] = []
    var offset = 0
    while offset < bytes.count {
      // Whole, or cut anywhere; pieces do not touch each other.
      let rest = bytes.count - offset
      let count =
        pieces.count == 5 || Bool.random(using: &random)
        ? rest : Int.random(in: 1...rest, using: &random)
      let address = start + UInt64(offset + pieces.count * 100)
      pieces.append(
        DriverBuffer(address: address, byteCount: UInt32(count), isWritable: isWritable))
      offset += count
    }
    var expected = Array(model[bytes])
    if type == BlockType.write {
      expected = (0..<bytes.count).map { _ in UInt8.random(in: 0...255, using: &random) }
      var from = 0
      for piece in pieces {
        bed.memory.write(Array(expected[from..<from + Int(piece.byteCount)]), at: piece.address)
        from += Int(piece.byteCount)
      }
    }
    bed.memory.write(BlockBed.header(type, UInt64(sectors.lowerBound)), at: base)
    let status = base + Self.placeByteCount - 1
    bed.memory.store(BlockAnswer.untouched, at: status)
    let cut = UInt32.random(in: 0...15, using: &random)
    var buffers: [DriverBuffer] = cut == 0 ? [] : [.readable(base, cut)]
    buffers.append(.readable(base + UInt64(cut), 16 - cut))
    buffers += pieces
    buffers.append(.writable(status, 1))
    let shape = Bool.random(using: &random) ? ChainShape.direct : .indirect
    guard bed.queue.offer(buffers, shape: shape, token: UInt64(place)) else { return false }
    freePlaces.removeLast()
    flights[place] = Flight(
      type: type, sectors: sectors, expected: expected, pieces: pieces, status: status)
    if type == BlockType.write { model.replaceSubrange(bytes, with: expected) }
    return true
  }

  private func take(_ used: UsedChain) throws {
    let place = Int(used.token)
    let flight = try #require(flights[place])
    flights[place] = nil
    freePlaces.append(place)
    try #require(bed.memory.load(UInt8.self, at: flight.status) == 0)
    guard flight.type == BlockType.read else {
      try #require(used.written == 1)
      return
    }
    try #require(used.written == flight.sectors.count * 512 + 1)
    let read = flight.pieces.flatMap {
      bed.memory.bytes(at: $0.address, count: Int($0.byteCount))
    }
    try #require(read == flight.expected, "sectors \(flight.sectors)")
  }
}

@Suite("Random requests, many in flight", .timeLimit(.minutes(20)))
struct BlockRandomTests {
  private static let byteCount = 128 * 1024
  private static let rings: [Features] = [
    [.indirectDescriptors, .eventIndex], [.indirectDescriptors, .inOrder],
  ]

  private func check(
    _ device: any Device, _ image: TestImage, _ format: QueueFormat, _ ring: Features,
    accepted: Features = BlockBed.modern, count: Int, seed: UInt64
  ) throws {
    let bed = try BlockBed(device, format, size: 64, ring: ring, accepted: accepted)
    let run = RandomRun(
      bed, pattern(Self.byteCount), seed: seed, depth: 32,
      canFlush: accepted.contains(.blockFlush))
    let model = try run.run(count)
    #expect(run.mostInFlight > 4)
    bed.stop()
    #expect(bed.queue.inFlightCount == 0)
    #expect(try image.bytes(at: 0, count: Self.byteCount) == model)
  }

  @Test("move every byte to its place", arguments: BlockVariant.all, rings)
  func real(variant: BlockVariant, ring: Features) throws {
    let image = try TestImage(pattern(Self.byteCount))
    try check(try variant.device(image), image, variant.format, ring, count: 120, seed: 7)
  }

  @Test("move every byte in write-through mode", arguments: BlockVariant.engines)
  func writeThrough(variant: BlockVariant) throws {
    let image = try TestImage(pattern(Self.byteCount))
    try check(
      try variant.device(image), image, .split, Self.rings[0], accepted: .version1, count: 60,
      seed: 8)
  }

  @Test(
    "move every byte through a ring that completes late, out of order and in pieces",
    arguments: [1, 2, 3] as [UInt64], rings)
  func scripted(seed: UInt64, ring: Features) throws {
    let image = try TestImage(pattern(Self.byteCount))
    let recorder = BlockRecorder(.init(pieceByteCount: 2048, seed: seed))
    let disk = try RecordedDisk(image, .ring, recorder)
    try check(disk, image, .split, ring, count: 120, seed: seed)
  }
}
