// SPDX-License-Identifier: Apache-2.0
//
// What a process shows of its counters, and what its readers bear.

import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite(.timeLimit(.minutes(20))) struct StatisticsFileTests {
  private func read(_ file: StatisticsFile) throws -> StatisticsReading {
    try StatisticsReading(try file.duplicate())
  }

  @Test func `shows the queues of the devices that were added, as they count`() throws {
    let file = try StatisticsFile(program: "tester 1.2")
    let device = try RngDevice(name: "rng0")
    file.add(device, transport: "vhost-user", guest: "one")
    let bed = try QueueBed(device)
    let address = bed.space.take(100)
    #expect(bed.offer([.writable(address, 100)]))
    #expect(try bed.awaitUsed() != nil)

    let reading = try read(file)
    #expect(reading.program == "tester 1.2")
    #expect(reading.age > 0)
    #expect(reading.start > 1_600_000_000_000_000_000)
    #expect(reading.omitted == 0)
    try #require(reading.queues.count == 1)
    let queue = reading.queues[0]
    #expect(queue.guest == "one")
    #expect(queue.device == "rng0")
    #expect(queue.type == .rng)
    #expect(queue.transport == "vhost-user")
    #expect(queue.index == 0)
    #expect(queue.name == "requests")
    #expect(queue.size == 16)
    #expect(queue.state == .running)
    #expect(queue.starts == 1)
    #expect(queue.chains == 1)
    #expect(queue.bytesToGuest == 100)
    #expect(queue.serviceTimes.total == 1)
    // The same in this process.
    #expect(device.statistics[0].reading().serviceTimes == queue.serviceTimes)
    bed.stop()
    #expect(try read(file).queues[0].state == .stopped)
  }

  @Test func `queues are in the order of guests, devices and indices`() throws {
    let file = try StatisticsFile(program: "tester")
    var devices: [any Device] = []
    for (name, guest) in [("b", "two"), ("a", "two"), ("c", "one")] {
      let pair = try PacketPair()
      let device = try NetDevice(name: name, options: NetOptions(tap: .fd(pair.device)))
      let host = FileDescriptor(owning: pair.host)
      file.add(device, transport: "lguest", guest: guest)
      devices.append(device)
      _ = host
    }
    let shown = try read(file).queues.map { "\($0.guest)/\($0.device)/\($0.name)" }
    #expect(
      shown == ["one/c/rx", "one/c/tx", "two/a/rx", "two/a/tx", "two/b/rx", "two/b/tx"])
    #expect(devices.count == 3)
  }

  @Test func `the place of a device that is gone is used again, under another serial`() throws {
    let file = try StatisticsFile(program: "tester", capacity: 1)
    var device: RngDevice? = try RngDevice(name: "first")
    if let device { file.add(device, transport: "t") }
    let first = try #require(try read(file).queues.first)
    device?.statistics[0].current.words.store(5, StatisticsFormat.Slot.chains)
    #expect(try read(file).queues.first?.chains == 5)

    // There is no room for a second one, which counts all the same.
    let other = try RngDevice(name: "other")
    file.add(other, transport: "t")
    #expect(try read(file).omitted == 1)
    #expect(try read(file).queues.map(\.device) == ["first"])
    #expect(other.statistics[0].chains == 0)

    device = nil
    #expect(try read(file).queues.isEmpty)
    let third = try RngDevice(name: "third")
    file.add(third, transport: "t")
    let queue = try #require(try read(file).queues.first)
    #expect(queue.device == "third")
    #expect(queue.chains == 0)
    #expect(queue.serial != first.serial)
    #expect(third.statistics.count == 1)
  }

  @Test func `counters outlive the file's object, for the devices count on`() throws {
    let device = try RngDevice(name: "rng0")
    let descriptor = try {
      let file = try StatisticsFile(program: "tester")
      file.add(device, transport: "t")
      return try file.duplicate()
    }()
    let bed = try QueueBed(device)
    #expect(bed.offer([.writable(bed.space.take(8), 8)]))
    #expect(try bed.awaitUsed() != nil)
    #expect(try StatisticsReading(descriptor).queues.first?.chains == 1)
  }

  @Test func `nobody else can cut the file off, let it grow, or write it`() throws {
    let file = try StatisticsFile(program: "tester", capacity: 2)
    let descriptor = try file.duplicate()
    #expect(try descriptor.seals().isSuperset(of: [.shrink, .grow, .seal]))
    #expect(throws: Errno.permission) { try descriptor.truncate(to: 0) }
    if try descriptor.seals().contains(.futureWrite) {
      #expect(throws: Errno.permission) { _ = try descriptor.write([1], at: 0) }
      #expect(throws: Errno.permission) { _ = try MemoryMapping(descriptor, length: 4096) }
    }
    #expect(throws: Errno.invalidArgument) { _ = try StatisticsFile(program: "", capacity: 0) }
    #expect(throws: Errno.invalidArgument) { _ = try StatisticsFile(program: "", capacity: 4097) }
  }

  // MARK: Files that lie

  /// A sealed memory file.
  private func hostile(_ bytes: [UInt8], seals: Seals = .shrink) throws -> FileDescriptor {
    let file = try Memfd.create(name: StatisticsFormat.fileName, size: UInt64(bytes.count))
    _ = try file.write(bytes, at: 0)
    try file.addSeals(seals)
    return file
  }

  /// A file that is as it should be.
  private func honest() throws -> [UInt8] {
    let file = try StatisticsFile(program: "tester", capacity: 2)
    let device = try RngDevice(name: "rng0")
    file.add(device, transport: "t")
    var bytes = [UInt8](repeating: 0, count: 4096 + 2 * 8192)
    let count = try file.duplicate().read(into: &bytes, at: 0)
    #expect(count == bytes.count)
    #expect(try StatisticsReading(hostile(bytes)).queues.count == 1)
    return bytes
  }

  private func set(_ value: UInt64, at offset: Int, _ bytes: inout [UInt8]) {
    for index in 0..<8 {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }

  @Test func `what is no sealed memory file is refused`() throws {
    let bytes = try honest()
    #expect(throws: StatisticsError.notSealed) {
      _ = try StatisticsReading(hostile(bytes, seals: []))
    }
    let directory = try TemporaryDirectory()
    let path = try directory.makeFile("plain", bytes)
    #expect(throws: StatisticsError.notSealed) {
      _ = try StatisticsReading(try FileDescriptor.open(path))
    }
    #expect(throws: StatisticsError.notSealed) {
      _ = try StatisticsReading(try FileDescriptor.open("/dev/zero"))
    }
  }

  @Test func `a header that makes no sense is refused, whichever number it is`() throws {
    let bytes = try honest()
    typealias Header = StatisticsFormat.Header
    let words = [Header.magic, Header.slotOffset, Header.slotSize]
    for offset in words {
      for value: UInt64 in [0, 1, 8, 4095, 1 << 32, 1 << 63, .max] {
        var wrong = bytes
        set(value, at: offset, &wrong)
        #expect(throws: StatisticsError.nonsense) { _ = try StatisticsReading(hostile(wrong)) }
      }
    }
    // More queues than the file has room for.
    for value: UInt64 in [3, 4096, 4097, 1 << 52, .max] {
      var wrong = bytes
      set(value, at: Header.used, &wrong)
      #expect(throws: StatisticsError.nonsense) { _ = try StatisticsReading(hostile(wrong)) }
    }
    for value: UInt64 in [0, 2, .max] {
      var wrong = bytes
      set(value, at: Header.version, &wrong)
      #expect(throws: StatisticsError.otherVersion(value)) {
        _ = try StatisticsReading(hostile(wrong))
      }
    }
    for count in [0, 7, 8, 4095, 4096, 4096 + 8191] {
      #expect(throws: StatisticsError.nonsense) {
        _ = try StatisticsReading(hostile(Array(bytes[..<count])))
      }
    }
    for error in [StatisticsError.nonsense, .notSealed, .otherVersion(7), .system(.accessDenied)] {
      #expect(!error.description.contains("\n"))
    }
  }

  @Test func `numbers of any size and texts of any bytes are borne`() throws {
    let bytes = try honest()
    for value: UInt8 in [0xff, 0x7f, 0x80, 0x1b, 0x01] {
      var wrong = bytes
      for index in 4096..<wrong.count { wrong[index] = value }
      set(2, at: StatisticsFormat.Header.used, &wrong)
      for index in StatisticsFormat.Header.program { wrong[index] = value }
      let reading = try StatisticsReading(hostile(wrong))
      #expect(reading.queues.count == 2)
      for queue in reading.queues {
        #expect(queue.inFlight == 256)
        let texts = [queue.guest, queue.device, queue.transport, queue.name, reading.program]
        for text in texts {
          #expect(text.utf8.allSatisfy { (0x20...0x7e).contains($0) })
        }
        for part in [0, 0.5, 0.99, 1] { #expect(queue.serviceTimes.percentile(part) != nil) }
      }
    }
  }

  @Test func `random bytes in all places but the header's are borne`() throws {
    var random = SplitMix(seed: 11)
    let bytes = try honest()
    for _ in 0..<200 {
      var wrong = bytes
      for _ in 0..<Int.random(in: 1...200, using: &random) {
        let index = Int.random(in: StatisticsFormat.Header.process..<wrong.count, using: &random)
        wrong[index] = UInt8.random(in: 0...255, using: &random)
      }
      let reading = try StatisticsReading(hostile(wrong))
      #expect(reading.queues.count <= 2)
    }
  }
}
