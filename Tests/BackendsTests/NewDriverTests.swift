// SPDX-License-Identifier: Apache-2.0
//
// NewDriverTests: a driver dies in the middle of a request, another one comes, with rings and memory of its own.
//
// Transports cannot always know which of the two it is that comes: a device is only reset where they do. So each
// case is played without a reset, too, and with first requests that stand where the last driver's stood.

import Backends
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@Suite("After a driver that died in the middle, a new one", .timeLimit(.minutes(20)))
struct NewDriverTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  // MARK: Console

  /// More than the pipe, the console's buffer and the client's socket hold together.
  private static let hugeSize = 2 << 20

  /// Offers one chain of a console's output.
  private func offer(_ bytes: [UInt8], to queue: QueueBed) {
    let address = queue.space.take(UInt64(bytes.count))
    queue.memory.write(bytes, at: address)
    #expect(queue.offer([.readable(address, UInt32(bytes.count))]))
  }

  private func console() throws -> ConsoleDevice {
    var options = ConsoleOptions(.socket(path: directory.file("console")))
    options.bufferSize = 10_000
    options.patience = soon
    return try ConsoleDevice(name: "console0", options: options)
  }

  /// A driver's first chain, with its queue stopped in the middle of it.
  private func dieWhilePrinting(
    _ bytes: [UInt8], on device: ConsoleDevice, _ format: QueueFormat,
    _ client: borrowing FileDescriptor
  ) throws {
    let queue = try QueueBed(device, index: 1, format)
    offer(bytes, to: queue)
    #expect(try !Poll.wait(for: .readable, on: client, timeout: soon).isEmpty)
    queue.stop()
    #expect(queue.inFlightCount == 0)
    #expect(try queue.collect() == nil)
  }

  /// What comes out until a text is its end. - Returns: what came before that text.
  private func read(
    until text: [UInt8], from client: borrowing FileDescriptor
  ) throws -> [UInt8] {
    var received: [UInt8] = []
    let hasCome = try eventually {
      received += try readBytes(1 << 20, from: client, within: .milliseconds(20))
      return received.suffix(text.count) == text[...]
    }
    #expect(hasCome, "\(received.count) bytes came")
    return received.dropLast(text.count)
  }

  @Test(
    "has its first output shown in full, though nobody said that it is new",
    arguments: QueueFormat.allCases, [25, hugeSize])
  func consoleOutput(format: QueueFormat, size: Int) throws {
    let device = try console()
    defer { device.shutDown() }
    let client = try UnixSocket.connect(directory.file("console"))
    let last = randomBytes(Self.hugeSize)
    try dieWhilePrinting(last, on: device, format, client)
    let queue = try QueueBed(device, index: 1, format)
    // Of the same size, it stands in the same place, with the same id.
    let first = randomBytes(size, seed: 2)
    offer(first, to: queue)
    let before = try read(until: first, from: client)
    #expect(!before.isEmpty && before.count < last.count)
    #expect(before == Array(last.prefix(before.count)))
    #expect(try queue.awaitUsed() != nil)
    queue.stop()
  }

  @Test(
    "has even the last one's very output shown anew after a reset", arguments: QueueFormat.allCases)
  func consoleReset(format: QueueFormat) throws {
    let device = try console()
    defer { device.shutDown() }
    let client = try UnixSocket.connect(directory.file("console"))
    let bytes = randomBytes(Self.hugeSize)
    try dieWhilePrinting(bytes, on: device, format, client)
    device.reset()
    let queue = try QueueBed(device, index: 1, format)
    offer(bytes, to: queue)
    #expect(try !read(until: bytes, from: client).isEmpty)
    #expect(try queue.awaitUsed() != nil)
    queue.stop()
  }

  @Test("is not taken for the last one once it has printed", arguments: QueueFormat.allCases)
  func consoleForgets(format: QueueFormat) throws {
    let device = try console()
    defer { device.shutDown() }
    let client = try UnixSocket.connect(directory.file("console"))
    let bytes = randomBytes(Self.hugeSize)
    try dieWhilePrinting(bytes, on: device, format, client)
    let line = Array("a line".utf8)
    let second = try QueueBed(device, index: 1, format)
    offer(line, to: second)
    _ = try read(until: line, from: client)
    #expect(try second.awaitUsed() != nil)
    second.stop()
    let third = try QueueBed(device, index: 1, format)
    offer(bytes, to: third)
    #expect(try read(until: bytes, from: client).isEmpty)
    #expect(try third.awaitUsed() != nil)
    third.stop()
  }

  @Test("gets input into buffers of its own", arguments: QueueFormat.allCases, [false, true])
  func consoleInput(format: QueueFormat, isReset: Bool) throws {
    let device = try console()
    defer { device.shutDown() }
    let client = try UnixSocket.connect(directory.file("console"))
    let last = try QueueBed(device, index: 0, format)
    let lastAddress = last.space.take(64)
    #expect(last.offer([.writable(lastAddress, 64)]))
    #expect(try last.awaitUsed(within: .milliseconds(20)) == nil)
    last.stop()
    if isReset { device.reset() }
    let queue = try QueueBed(device, index: 0, format)
    let address = queue.space.take(64)
    #expect(queue.offer([.writable(address, 64)], token: 7))
    try client.writeAll([1, 2, 3])
    let used = try queue.awaitUsed()
    #expect(used?.token == 7)
    #expect(used?.written == 3)
    #expect(queue.memory.bytes(at: address, count: 3) == [1, 2, 3])
    #expect(last.memory.bytes(at: lastAddress, count: 3) == [0, 0, 0])
    queue.stop()
  }

  // MARK: Entropy

  @Test("gets a whole buffer of entropy", arguments: QueueFormat.allCases, [false, true])
  func entropy(format: QueueFormat, isReset: Bool) throws {
    let path = try directory.makeFIFO("noise")
    var options = RngOptions()
    options.source = .file(path)
    let device = try RngDevice(name: "rng0", options: options)
    let writer = try FileDescriptor.open(path, [.writeOnly, .nonBlocking])
    let last = try QueueBed(device, format)
    let lastAddress = last.space.take(64)
    #expect(last.offer([.writable(lastAddress, 8)]))
    try writer.writeAll([9, 9, 9])
    #expect(eventually { last.memory.bytes(at: lastAddress, count: 3) == [9, 9, 9] })
    last.stop()
    if isReset { device.reset() }
    let queue = try QueueBed(device, format)
    let address = queue.space.take(64)
    #expect(queue.offer([.writable(address, 8)]))
    try writer.writeAll([1, 2, 3, 4, 5, 6, 7, 8])
    #expect(try queue.awaitUsed()?.written == 8)
    #expect(queue.memory.bytes(at: address, count: 8) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(last.memory.bytes(at: lastAddress + 3, count: 5) == [0, 0, 0, 0, 0])
  }

  // MARK: Network

  /// A driver as the device knew the last one.
  private func meetAnother(_ bed: NetBed, _ index: Int, _ format: QueueFormat, isReset: Bool) throws
    -> QueueBed
  {
    bed.queue.stop()
    #expect(bed.queue.inFlightCount == 0)
    let features: Features = [.indirectDescriptors, .eventIndex, .netMergeBuffers]
    if isReset {
      bed.device.reset()
      bed.device.driverAccepted(features.union(format.features))
    }
    return try QueueBed(bed.device, index: index, format, size: 64, features: features)
  }

  private func netBed(_ index: Int, _ format: QueueFormat) throws -> NetBed {
    try NetBed(
      index, format, features: [.indirectDescriptors, .eventIndex, .netMergeBuffers],
      isPatient: true)
  }

  @Test(
    "gets frames into buffers of its own, whole, and nothing of one that the last one waited for",
    arguments: QueueFormat.allCases, [false, true])
  func reception(format: QueueFormat, isReset: Bool) throws {
    let bed = try netBed(NetBed.receive, format)
    let lastAddress = try #require(bed.offerBuffer(200))
    // The rest of its buffers never comes.
    try bed.hostSend(frame(1000))
    #expect(eventually { bed.unreadBytes == 0 })
    let queue = try meetAnother(bed, NetBed.receive, format, isReset: isReset)
    let old = bed.queue.memory.bytes(at: lastAddress, count: 200)
    let address = queue.space.take(2000)
    #expect(queue.offer([.writable(address, 2000)], token: 5))
    try bed.hostSend(frame(60, seed: 2))
    let used = try #require(try queue.awaitUsed())
    #expect(used.token == 5)
    #expect(Int(used.written) == bed.headerSize + 60)
    let bytes = queue.memory.bytes(at: address, count: Int(used.written))
    #expect(RawHeader(bytes) == RawHeader(bufferCount: 1))
    #expect(Array(bytes.dropFirst(bed.headerSize)) == frame(60, seed: 2))
    #expect(bed.queue.memory.bytes(at: lastAddress, count: 200) == old)
    #expect(bed.dropped == 1)
    queue.stop()
  }

  @Test(
    "has its first frame sent whole, though the last one's found no room",
    arguments: QueueFormat.allCases, [false, true])
  func transmission(format: QueueFormat, isReset: Bool) throws {
    let bed = try netBed(NetBed.transmit, format)
    // Until the socket takes no more.
    var sent = 0
    while true {
      #expect(bed.send(frame(1000)))
      guard try bed.queue.awaitUsed(within: .milliseconds(100)) != nil else { break }
      sent += 1
    }
    let queue = try meetAnother(bed, NetBed.transmit, format, isReset: isReset)
    while try bed.queue.collect() != nil { sent += 1 }
    let header = [UInt8](repeating: 0, count: bed.headerSize)
    #expect(queue.offer(header + frame(60, seed: 2)))
    for _ in 0..<sent { #expect(try bed.hostReceive()?.frame == frame(1000)) }
    #expect(try bed.hostReceive()?.frame == frame(60, seed: 2))
    #expect(try queue.awaitUsed() != nil)
    queue.stop()
  }
}
