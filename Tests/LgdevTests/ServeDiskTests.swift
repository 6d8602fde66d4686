// SPDX-License-Identifier: Apache-2.0
//
// Served disks: what the built program does with requests that are under way, and with images that change.

import Backends
import Glibc
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

@Suite(.timeLimit(.minutes(20))) struct ServeDiskTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var image: String { "\(directory.path)/disk.img" }

  private func makeImage(_ byteCount: Int) throws {
    let file = try FileDescriptor.open(image, [.writeOnly, .create])
    try file.truncate(to: UInt64(byteCount))
  }

  @Test(arguments: BlockOptions.Engine.allCases)
  func `SIGTERM finishes the writes in flight, and tells of each that reached the image`(
    engine: BlockOptions.Engine
  ) throws {
    let size = 1 << 30
    try makeImage(size)
    let program = try Program(
      ["serve", "--socket-path", "s", "--block", "path=disk.img,engine=\(engine)"], in: directory)
    try program.awaitListening()
    var writer = try DiskWriter(
      connectingTo: "\(directory.path)/s", depth: 32, byteCount: size)
    while writer.written.count < 200 { try writer.turn() }

    // The driver goes on as if nothing were.
    program.send(SIGTERM)
    let start = ContinuousClock.now
    while program.isRunning, ContinuousClock.now - start < soon { try writer.turn() }
    #expect(try program.exitCode() == 0)
    while try writer.turn() {}

    // Each write has a place of its own, so the image shows which were done: those that the driver knows
    // of, and no other, for one that is done but not told of was left in the middle.
    let written = Set(writer.written)
    let file = try FileDescriptor.open(image, .readOnly)
    let zeros = [UInt8](repeating: 0, count: DiskWriter.writeSize)
    var bytes = zeros
    for place in 0..<writer.sentCount {
      let count = try file.read(into: &bytes, at: UInt64(place * DiskWriter.writeSize))
      #expect(count == bytes.count)
      let expected = written.contains(place) ? DiskWriter.content(of: place) : zeros
      #expect(bytes == expected, "the write to place \(place) of \(writer.sentCount)")
    }
  }

  @Test func `a new size of the image is noticed and told to the driver, an empty one is not`()
    throws
  {
    try makeImage(1 << 20)
    let program = try Program(
      ["serve", "--socket-path", "s", "--block", "path=disk.img"], in: directory)
    try program.awaitListening()
    let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s")
    try frontEnd.negotiate([.version1])
    #expect(try capacity(frontEnd) == 2048)
    let pair = try UnixSocket.pair()
    try frontEnd.tell(.setBackendChannel, descriptors: [pair.second.raw])
    var channel = RawFrontEnd(try pair.first.duplicate())
    channel.patience = soon

    let file = try FileDescriptor.open(image, .readWrite)
    for (size, text) in [(3 << 20, "3 MiB"), (2 << 20, "2 MiB")] {
      try file.truncate(to: UInt64(size))
      let message = try channel.receive()
      #expect(message == Message(BackEndRequest.configurationChange.rawValue))
      #expect(try capacity(frontEnd) == UInt64(size / 512))
      try program.awaitLine("block0: its size is \(text) now")
    }
    // Said once.
    try file.truncate(to: 0)
    try program.awaitLine(
      "block0: its size stays as it was: cannot serve image disk.img: it has 0 bytes, less than a block "
        + "of 512")
    try file.truncate(to: 4 << 20)
    try program.awaitLine("block0: its size is 4 MiB now")
    #expect(try program.errorLines.count { $0.contains("stays as it was") } == 1)
    #expect(try capacity(frontEnd) == 8192)
  }

  @Test func `a queue that has nothing to do takes next to no memory`() throws {
    try makeImage(1 << 20)
    let count = 64
    let program = try Program(
      ["serve", "--socket-path", "s", "--block", "path=disk.img,queues=\(count)"], in: directory)
    try program.awaitListening()
    let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s", memory: 8 << 20)
    try frontEnd.negotiate([.version1])
    try frontEnd.shareMemory()
    let before = try residentByteCount(program)
    for index in 0..<count {
      var ring = try frontEnd.makeRing(index, size: 256)
      try frontEnd.startRing(ring)
      // A queue that has served a request has all that it needs: the disk's name.
      let place = frontEnd.space.take(64, alignment: 64)
      frontEnd.memory.memory.store(UInt32(8), at: place)
      let isOffered = ring.driver.offer([.readable(place, 16), .writable(place + 16, 21)])
      #expect(isOffered)
      ring.kick.signal()
      #expect(try awaitUsed(&ring))
    }
    let each = (try residentByteCount(program) - before) / count
    #expect(each <= 300 << 10)
  }

  private func awaitUsed(_ ring: inout FrontEndRing) throws -> Bool {
    let end = ContinuousClock.now + soon
    while ContinuousClock.now < end {
      if try ring.driver.collect() != nil { return true }
      pause(.microseconds(100))
    }
    return false
  }

  /// All memory that a program has in use (proc(5)).
  private func residentByteCount(_ program: Program) throws -> Int {
    let file = try FileDescriptor.open("/proc/\(program.processID)/statm", .readOnly)
    let fields = String(decoding: try file.read(upTo: 256), as: UTF8.self).split(separator: " ")
    return try #require(Int(fields[1])) * Int(getpagesize())
  }

  private func capacity(_ frontEnd: FrontEnd) throws -> UInt64 {
    try frontEnd.readConfiguration(byteCount: 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
