// SPDX-License-Identifier: Apache-2.0
//
// A guest that writes whatever it likes wherever it can: device page, rings, requests, status. It is served by
// real devices, and once it has calmed down and resets them, every one works.

import Backends
import HostTesting
import LguestTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import LguestTransport

@Suite(.timeLimit(.minutes(20))) struct RandomGuestTests {
  @Test(arguments: 0..<24 as Range<UInt64>)
  func `whatever a guest has written, after a reset every device works`(seed: UInt64) throws {
    let guest = try RandomGuest(seed: seed)
    for _ in 0..<300 { try guest.step() }
    guest.calmDown()
    // Not for want of trying.
    #expect(!guest.bed.complaints.lines.isEmpty)
    try guest.expectBlock()
    try guest.expectNet()
    try guest.expectConsole()
    try guest.expectRng()
  }
}

private final class RandomGuest {
  private static let header: UInt64 = 0x8000
  private static let data: UInt64 = 0x9000
  private static let status: UInt64 = 0xa000
  private static let deviceCount = 4

  let bed: BusBed
  /// The host's end of the network.
  private let network: FileDescriptor
  private let page: [UInt8]
  private let descriptors: [UInt64]
  /// All queues, with the devices that they are of.
  private let queues: [(device: Int, index: Int, size: UInt16, address: UInt64)]
  private var random: SplitMix

  init(seed: UInt64) throws {
    random = SplitMix(seed: seed)
    let folder = "/tmp/lgdev-random-guest-\(seed)-\(UInt32.random(in: 0...UInt32.max))"
    try FileSystem.makeDirectory(folder)
    defer { try? FileSystem.removeDirectory(folder) }
    let disk = try FileDescriptor.open("\(folder)/disk", [.readWrite, .create])
    try disk.truncate(to: 1 << 16)
    let pair = try UnixSocket.pair(messages: true)
    network = pair.second
    try network.setNonBlocking(true)

    var block = BlockOptions(path: "\(folder)/disk")
    block.engine = seed & 1 == 0 ? .threads : .uring
    var net = NetOptions(tap: .fd(try pair.first.duplicate().release()))
    // Nobody need read what the guest sends.
    net.tapPatience = .milliseconds(1)
    net.bufferPatience = .milliseconds(1)
    bed = try BusBed([
      try BlockDevice(name: "block0", options: block),
      try NetDevice(name: "net0", options: net),
      try ConsoleDevice(name: "console0", options: ConsoleOptions(.file(path: "\(folder)/log"))),
      try RngDevice(name: "rng0"),
    ])
    // Open, they need no names.
    try FileSystem.remove("\(folder)/disk")
    try FileSystem.remove("\(folder)/log")

    var queues: [(device: Int, index: Int, size: UInt16, address: UInt64)] = []
    for (device, count) in [1, 2, 2, 1].enumerated() {
      for index in 0..<count {
        let queue = bed.queue(index, of: device)
        queues.append((device, index, queue.size, queue.address))
      }
    }
    self.queues = queues
    descriptors = (0..<Self.deviceCount).map { [bed] in bed.descriptor($0) }
    page = bed.words.bytes(at: BusBed.memoryEnd, count: 4096)
  }

  // MARK: Writing anything

  func step() throws {
    switch Int.random(in: 0..<24, using: &random) {
    case 0..<10:
      offer()
      // Mostly it is served before anything else is written.
      try bed.host.waitForCall(.milliseconds(1))
    case 10..<12: offerAnything()
    case 12..<14: setStatus()
    case 14..<17: notifyAnything()
    case 17..<19: scribble(UInt64.random(in: 0..<BusBed.memoryEnd, using: &random))
    case 19: scribble(BusBed.memoryEnd + .random(in: 0..<512, using: &random))
    case 20..<22:
      let queue = anyQueue()
      scribble(queue.address + .random(in: 0..<0x2000, using: &random))
    default: _ = try? network.write(bytes(.random(in: 1...2000, using: &random)).span)
    }
    // What the host has not taken would hold the devices up.
    _ = bed.host.calls
    var frame = [UInt8](repeating: 0, count: 4096)
    while let count = try? network.read(into: &frame), count > 0 {}
  }

  private func anyQueue() -> (device: Int, index: Int, size: UInt16, address: UInt64) {
    queues[Int.random(in: 0..<queues.count, using: &random)]
  }

  private func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  /// A number of a kind that mistakes are made with.
  private func edge(_ limit: UInt64) -> UInt64 {
    switch Int.random(in: 0..<6, using: &random) {
    case 0: 0
    case 1: UInt64.random(in: 0..<16, using: &random)
    case 2: limit &- UInt64.random(in: 0..<16, using: &random)
    case 3: UInt64.max &- UInt64.random(in: 0..<16, using: &random)
    case 4: UInt64(1) << UInt64.random(in: 0..<64, using: &random)
    default: UInt64.random(in: 0..<max(1, limit), using: &random)
    }
  }

  /// A few chains as a driver makes them, with a mistake in some of them, and a kick. A device that does not
  /// answer is begun anew.
  private func offer() {
    let queue = anyQueue()
    let size = UInt64(queue.size)
    let available = queue.address + 16 * size
    if Int.random(in: 0..<4, using: &random) == 0 {
      for status: UInt8 in [0, 3, 7] {
        accept(queue.device)
        bed.words.store(status, at: descriptors[queue.device] + 4)
        bed.notify(descriptors[queue.device])
      }
    }
    let mistakes = Int.random(in: 0..<3, using: &random) == 0
    let next = bed.words.load(UInt16.self, at: available + 2)
    let chains = UInt16.random(in: 1...4, using: &random)
    for chain in 0..<chains {
      let head = UInt64(next &+ chain) * 4 % size
      let length = UInt64.random(in: 1...4, using: &random)
      let isWritable = queue.index == 0 && queue.device != 0
      for index in 0..<length {
        let at = queue.address + 16 * ((head + index) % size)
        let isLast = index + 1 == length
        let isRequest = queue.device == 0 && index == 0
        let byteCount = isRequest ? 16 : isLast && queue.device == 0 ? 1 : 512
        let writes = isWritable || queue.device == 0 && (isLast || index > 0 && next & 1 == 0)
        bed.words.store(Self.header + 0x1000 * index, at: at)
        bed.words.store(UInt32(byteCount), at: at + 8)
        bed.words.store(UInt16(writes ? 2 : 0) | (isLast ? 0 : 1), at: at + 12)
        bed.words.store(UInt16((head + index + 1) % size), at: at + 14)
        guard mistakes, Int.random(in: 0..<4, using: &random) == 0 else { continue }
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bed.words.store(edge(BusBed.memoryEnd), at: at)
        case 1: bed.words.store(UInt32(truncatingIfNeeded: edge(4096)), at: at + 8)
        case 2: bed.words.store(UInt16(truncatingIfNeeded: edge(8)), at: at + 12)
        default: bed.words.store(UInt16(truncatingIfNeeded: edge(size)), at: at + 14)
        }
      }
      bed.words.store(UInt16(head), at: available + 4 + 2 * (UInt64(next &+ chain) % size))
    }
    bed.words.store(UInt32(truncatingIfNeeded: edge(12)), at: Self.header)
    bed.words.store(edge(128), at: Self.header + 8)
    bed.words.store(next &+ chains, at: available + 2)
    bed.notify(queue.address)
  }

  /// Words that make sense by chance only, and a kick.
  private func offerAnything() {
    let queue = anyQueue()
    let size = UInt64(queue.size)
    for index in 0..<size where Bool.random(using: &random) {
      let at = queue.address + 16 * index
      bed.words.store(edge(BusBed.memoryEnd), at: at)
      bed.words.store(UInt32(truncatingIfNeeded: edge(4096)), at: at + 8)
      bed.words.store(UInt16(truncatingIfNeeded: edge(8)) & 0xf, at: at + 12)
      bed.words.store(UInt16(truncatingIfNeeded: edge(size)), at: at + 14)
    }
    let available = queue.address + 16 * size
    for index in 0..<size where Bool.random(using: &random) {
      bed.words.store(UInt16(truncatingIfNeeded: edge(size)), at: available + 4 + 2 * index)
    }
    let next = bed.words.load(UInt16.self, at: available + 2)
    let ahead =
      Bool.random(using: &random)
      ? UInt16.random(in: 0...4, using: &random) : UInt16(truncatingIfNeeded: edge(size))
    bed.words.store(UInt16.random(in: 0...1, using: &random), at: available)
    bed.words.store(next &+ ahead, at: available + 2)
    bed.notify(queue.address)
  }

  private func setStatus() {
    let values: [UInt8] = [0, 1, 3, 7, 7, 7, 0x80, 0x87, .random(in: 0...255, using: &random)]
    let device = Int.random(in: 0..<Self.deviceCount, using: &random)
    accept(device)
    let value = values[Int.random(in: 0..<values.count, using: &random)]
    bed.words.store(value, at: descriptors[device] + 4)
    bed.notify(descriptors[device])
  }

  /// Accepts any features.
  private func accept(_ device: Int) {
    let descriptor = descriptors[device]
    let header = Array(page[Int(descriptor - BusBed.memoryEnd)...].prefix(4))
    let accepted = descriptor + 5 + 8 * UInt64(header[1]) + UInt64(header[2])
    bed.words.write(bytes(Int(header[2])), at: accepted)
  }

  private func notifyAnything() {
    switch Int.random(in: 0..<4, using: &random) {
    case 0: bed.notify(anyQueue().address)
    case 1: bed.notify(descriptors[Int.random(in: 0..<Self.deviceCount, using: &random)])
    case 2: bed.notify(edge(BusBed.memoryEnd))
    default: bed.notify(edge(BusBed.memoryEnd + 0x10000))
    }
  }

  private func scribble(_ address: UInt64) {
    let bytes = bytes(.random(in: 1...64, using: &random))
    let end = address + UInt64(bytes.count)
    if end <= BusBed.memoryEnd || address >= BusBed.memoryEnd {
      bed.words.write(bytes, at: address)
    }
  }

  // MARK: Working again

  /// Resets all devices, so that nobody writes into the memory any more, and makes the device page as it was.
  func calmDown() {
    // A device that still runs may write over its own status.
    while !bed.host.attached.isEmpty {
      for descriptor in descriptors {
        bed.words.store(UInt8(0), at: descriptor + 4)
        bed.notify(descriptor)
      }
    }
    bed.words.write(page, at: BusBed.memoryEnd)
  }

  /// Begins with a device and one of its queues.
  private func begin(_ device: Int, _ index: Int) throws -> SplitDriver {
    bed.setStatus(3, of: device)
    bed.accept(0, of: device)
    bed.setStatus(7, of: device)
    return try bed.driver(index, of: device)
  }

  /// Waits until a chain was served. - Returns: how many bytes were written.
  private func serve(
    _ buffers: [DriverBuffer], _ device: Int, _ index: Int
  ) throws -> UInt32 {
    var driver = try begin(device, index)
    let isOffered = driver.offer(buffers.span)
    #expect(isOffered)
    bed.kick(index, of: device)
    let deadline = MonotonicClock.nanoseconds + 300_000_000_000
    while MonotonicClock.nanoseconds < deadline {
      if let used = try driver.collect() { return used.written }
      try bed.host.waitForCall(.milliseconds(1))
      _ = bed.host.calls
    }
    Issue.record("device \(device) does not serve its queue \(index)")
    return 0
  }

  func expectBlock() throws {
    bed.words.write([UInt8](repeating: 0, count: 16), at: Self.header)
    bed.words.fill(0xee, at: Self.data, count: 512)
    bed.words.store(UInt8(0xee), at: Self.status)
    let written = try serve(
      [.readable(Self.header, 16), .writable(Self.data, 512), .writable(Self.status, 1)], 0, 0)
    #expect(written == 513)
    #expect(bed.words.load(UInt8.self, at: Self.status) == 0)
  }

  func expectNet() throws {
    var frame = [UInt8](repeating: 0, count: 4096)
    while let count = try? network.read(into: &frame), count > 0 {}
    let sent = [UInt8](repeating: 0, count: 10) + (0..<60)
    bed.words.write(sent, at: Self.data)
    let written = try serve([.readable(Self.data, UInt32(sent.count))], 1, 1)
    #expect(written == 0)
    let count = try network.read(into: &frame)
    #expect(Array(frame.prefix(count)) == sent)
  }

  func expectConsole() throws {
    bed.words.write(Array("hello".utf8), at: Self.data)
    let written = try serve([.readable(Self.data, 5)], 2, 1)
    #expect(written == 0)
  }

  func expectRng() throws {
    bed.words.fill(0, at: Self.data, count: 64)
    let written = try serve([.writable(Self.data, 64)], 3, 0)
    #expect(written == 64)
    #expect(bed.words.bytes(at: Self.data, count: 64).contains { $0 != 0 })
  }
}
