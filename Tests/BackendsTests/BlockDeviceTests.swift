// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("A disk", .timeLimit(.minutes(20)))
struct BlockDeviceTests {
  private func word<Word: FixedWidthInteger>(
    _: Word.Type, _ bytes: [UInt8], at offset: Int
  ) -> Word {
    (0..<Word.bitWidth / 8).reduce(0) { $0 | Word(bytes[offset + $1]) << ($1 * 8) }
  }

  @Test("is of type 2, and offers what it serves and nothing else")
  func shape() throws {
    let image = try TestImage(byteCount: 1 << 20)
    let device = try BlockDevice(name: "block0", options: image.options)
    #expect(device.id == .block)
    #expect(device.queueSizes.count == 1)
    // SIZE_MAX, SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE.
    let own = Features(rawValue: 1 << 1 | 1 << 2 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11)
    #expect(device.offeredFeatures == own.union(.allRing))
    var options = image.options
    options.isReadOnly = true
    options.queueCount = 3
    // The lock keeps out this process as any other.
    #expect(throws: DeviceError.self) { try BlockDevice(name: "block1", options: options) }
    let other = try TestImage(byteCount: 1 << 20)
    options.path = other.path
    let readOnly = try BlockDevice(name: "block1", options: options)
    #expect(readOnly.queueSizes.count == 3)
    // RO and MQ as well.
    #expect(
      readOnly.offeredFeatures == own.union(.allRing).union(Features(rawValue: 1 << 5 | 1 << 12)))
  }

  @Test("describes itself in its configuration space")
  func configuration() throws {
    let image = try TestImage(byteCount: (1 << 20) + 4096 + 700)
    var options = image.options
    options.queueCount = 4
    let device = try BlockDevice(name: "block0", options: options)
    let bytes = device.configuration()
    #expect(bytes.count == 36)
    #expect(word(UInt64.self, bytes, at: 0) == 2048 + 8 + 1)
    #expect(word(UInt32.self, bytes, at: 8) >= 65536)
    #expect(word(UInt32.self, bytes, at: 12) == 126)
    #expect(word(UInt32.self, bytes, at: 16) == 0)
    #expect(word(UInt32.self, bytes, at: 20) == 512)
    #expect(bytes[24] == 3)
    #expect(word(UInt16.self, bytes, at: 26) == 8)
    #expect(bytes[32] == 1)
    #expect(word(UInt16.self, bytes, at: 34) == 4)
    #expect(device.byteCount == (1 << 20) + 4096 + 512)
  }

  @Test("asks for no more segments than its largest ring holds without indirect descriptors")
  func segments() throws {
    let image = try TestImage(byteCount: 1 << 20)
    for (size, segments) in [(nil, 126), (1024, 126), (128, 126), (64, 62), (16, 14), (4, 2)] {
      var options = image.options
      options.queueSize = size
      let device = try blockDevice(options)
      #expect(word(UInt32.self, device.configuration(), at: 12) == UInt32(segments))
      #expect(device.queueSizes == [UInt16(size ?? 1024)])
    }
    var options = image.options
    options.queueSize = 100
    let error = #expect(throws: DeviceError.self) { try BlockDevice(name: "b", options: options) }
    #expect(error?.description.contains("queue size 100 is not a power of two from 4") == true)
  }

  @Test("says so where a ring cannot hold its largest request", arguments: [true, false])
  func smallRing(takesTables: Bool) throws {
    let image = try TestImage(byteCount: 1 << 20)
    let log = LineCollector()
    var options = image.options
    options.onTrouble = log.hook
    let bed = try BlockBed(
      try blockDevice(options), size: 16, ring: takesTables ? .indirectDescriptors : [])
    bed.stop()
    let line =
      "block0: queue 0 has 16 entries and its driver takes no indirect descriptors, so its requests of"
      + " up to 126 segments may not fit; serve it with queuesize=16"
    #expect(log.lines == (takesTables ? [] : [line]))
  }

  @Test("of 4096-byte blocks says so and has whole blocks only")
  func largeBlocks() throws {
    let image = try TestImage(byteCount: (1 << 20) + 4095)
    var options = image.options
    options.blockSize = 4096
    let bytes = try BlockDevice(name: "block0", options: options).configuration()
    #expect(word(UInt64.self, bytes, at: 0) == 2048)
    #expect(word(UInt32.self, bytes, at: 20) == 4096)
    #expect(bytes[24] == 0)
  }

  @Test("writes and reads back, byte for byte", arguments: BlockVariant.all)
  func roundTrip(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 20)
    let device = try variant.device(image)
    let bed = try BlockBed(device, variant.format)
    let bytes = pattern(8192)
    #expect(try bed.write(16, bytes) == BlockAnswer(status: 0, written: 1))
    #expect(try bed.flush() == BlockAnswer(status: 0, written: 1))
    #expect(try bed.read(16, 8192) == BlockAnswer(status: 0, written: 8193, data: bytes))
    #expect(try image.bytes(at: 8192, count: 8192) == bytes)
    bed.stop()
    #expect(device.statistics[0].chains == 3)
    #expect(device.statistics[0].bytes == 16384)
    #expect(device.statistics[0].errors == 0)
  }

  @Test("serves single sectors whatever the host's block is", arguments: BlockVariant.all)
  func sectors(variant: BlockVariant) throws {
    let image = try TestImage(pattern(17 * 512, seed: 3))
    let bed = try BlockBed(try variant.device(image), variant.format)
    let before = pattern(17 * 512, seed: 3)
    #expect(try bed.write(3, pattern(512, seed: 9)).status == 0)
    #expect(try bed.read(3, 512).data == pattern(512, seed: 9))
    #expect(try bed.read(2, 512).data == Array(before[1024..<1536]))
    #expect(try bed.read(4, 512).data == Array(before[2048..<2560]))
    // The last one, behind the last whole page.
    #expect(try bed.read(16, 512).data == Array(before[8192..<8704]))
    #expect(try bed.write(16, pattern(512, seed: 8)).status == 0)
    #expect(try bed.read(16, 512).data == pattern(512, seed: 8))
    #expect(try bed.flush().status == 0)
    #expect(try image.bytes(at: 0, count: 9000).count == 17 * 512)
  }

  @Test("moves data through buffers of any alignment", arguments: BlockVariant.all)
  func unaligned(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 20)
    let bed = try BlockBed(try variant.device(image), variant.format, size: 64)
    let header = bed.queue.space.take(16, alignment: 4096)
    let data = bed.queue.space.take(32768, alignment: 4096)
    let bytes = pattern(12288, seed: 5)
    // Seven pieces, of odd sizes at odd addresses.
    let cuts = [0, 1, 513, 514, 4099, 8000, 12287, 12288]
    var addresses: [UInt64] = []
    for (index, cut) in cuts.dropLast().enumerated() {
      let address = data + UInt64(cut + index * 1000 + 1)
      addresses.append(address)
      bed.memory.write(Array(bytes[cut..<cuts[index + 1]]), at: address)
    }
    let status = bed.queue.space.take(1)
    func pieces(_ isWritable: Bool) -> [DriverBuffer] {
      addresses.indices.map {
        DriverBuffer(
          address: addresses[$0], byteCount: UInt32(cuts[$0 + 1] - cuts[$0]), isWritable: isWritable
        )
      }
    }
    bed.memory.write(BlockBed.header(BlockType.write, 8), at: header)
    _ = try bed.send([.readable(header, 16)] + pieces(false) + [.writable(status, 1)])
    #expect(bed.memory.load(UInt8.self, at: status) == 0)
    #expect(try image.bytes(at: 4096, count: 12288) == bytes)
    bed.memory.fill(0, at: data, count: 32768)
    bed.memory.write(BlockBed.header(BlockType.read, 8), at: header)
    let used = try bed.send([.readable(header, 16)] + pieces(true) + [.writable(status, 1)])
    #expect(used.written == 12289)
    var read: [UInt8] = []
    for (index, address) in addresses.enumerated() {
      read += bed.memory.bytes(at: address, count: cuts[index + 1] - cuts[index])
    }
    #expect(read == bytes)
  }

  @Test("tells its serial, cut to the buffer", arguments: BlockVariant.engines)
  func serial(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 4096)
    let bed = try BlockBed(try variant.device(image) { $0.serial = "D1-grün" })
    let padded = Array("D1-grün".utf8) + Array(repeating: 0, count: 12)
    #expect(
      try bed.request(BlockType.identify, room: 20)
        == BlockAnswer(status: 0, written: 21, data: padded))
    // A short buffer gets what it holds, a long one twenty bytes, none at all nothing.
    #expect(
      try bed.request(BlockType.identify, room: 5)
        == BlockAnswer(status: 0, written: 6, data: Array(padded[..<5])))
    #expect(
      try bed.request(BlockType.identify, room: 23)
        == BlockAnswer(status: 0, written: 21, data: padded + [0xee, 0xee, 0xee]))
    #expect(try bed.request(BlockType.identify) == BlockAnswer(status: 0, written: 1))
  }

  @Test("with several queues serves each of them", arguments: BlockVariant.engines)
  func queues(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 16)
    let device = try variant.device(image) { $0.queueCount = 3 }
    let beds = try (0..<3).map { try BlockBed(device, index: $0) }
    for (index, bed) in beds.enumerated() {
      #expect(try bed.write(UInt64(index), pattern(512, seed: index)).status == 0)
    }
    for (index, bed) in beds.enumerated() {
      let next = (index + 1) % 3
      #expect(try bed.read(UInt64(next), 512).data == pattern(512, seed: next))
    }
    for bed in beds { bed.stop() }
    for statistics in device.statistics {
      #expect(statistics.chains == 2)
    }
  }

  @Test("goes on after a stop where it stood", arguments: BlockVariant.engines)
  func restart(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 16)
    let bed = try BlockBed(try variant.device(image))
    for turn in 0..<5 {
      #expect(try bed.write(UInt64(turn), pattern(512, seed: turn)).status == 0)
      bed.stop()
      #expect(bed.queue.inFlightCount == 0)
      try bed.queue.start()
    }
    #expect(try bed.read(4, 512).data == pattern(512, seed: 4))
  }

  @Test("serves a queue without a kick descriptor", arguments: BlockVariant.engines)
  func noKick(variant: BlockVariant) throws {
    let image = try TestImage(pattern(4096))
    let device = try variant.device(image)
    device.driverAccepted(BlockBed.modern)
    let memory = TestMemory(byteCount: 0x10000)
    var space = GuestSpace(0..<0x10000)
    let plan = RingPlan.split(size: 8, in: &space)
    var driver = Driver(plan, memory: memory, features: .version1)
    let queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    let running = try device.start(queue, index: 0, wiring: QueueWiring(kick: nil, call: nil))
    let address = space.take(1024)
    memory.write(BlockBed.header(BlockType.read, 1), at: address)
    let isOffered = driver.offer([
      .readable(address, 16), .writable(address + 16, 512), .writable(address + 528, 1),
    ])
    #expect(isOffered)
    let end = ContinuousClock.now + soon
    var used: UsedChain?
    while used == nil, ContinuousClock.now < end { used = try driver.collect() }
    #expect(used?.written == 513)
    #expect(memory.bytes(at: address + 16, count: 512) == Array(pattern(4096)[512..<1024]))
    _ = running.stop()
  }

  @Test("notices a new size, and tells of it once", arguments: BlockVariant.engines)
  func resize(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 16)
    let device = try variant.device(image)
    let told = Atomic<Int>(0)
    device.configurationChange.observe { told.add(1, ordering: .relaxed) }
    let bed = try BlockBed(device)
    #expect(try bed.read(128, 512).status == 1)
    try device.refreshSize()
    #expect(told.load(ordering: .relaxed) == 0)
    try image.resize(to: 1 << 17)
    try device.refreshSize()
    try device.refreshSize()
    #expect(told.load(ordering: .relaxed) == 1)
    #expect(word(UInt64.self, device.configuration(), at: 0) == 256)
    #expect(try bed.read(128, 512).status == 0)
    try image.resize(to: 1 << 12)
    try device.refreshSize()
    #expect(told.load(ordering: .relaxed) == 2)
    #expect(try bed.read(128, 512).status == 1)
    #expect(try bed.read(7, 512).status == 0)
    try image.resize(to: 100)
    #expect(throws: DeviceError.self) { try device.refreshSize() }
    #expect(device.byteCount == 4096)
  }

  @Test("chooses io_uring by itself where the kernel has it, and says so")
  func engine() throws {
    let image = try TestImage(byteCount: 4096)
    #expect(try BlockDevice(name: "b", options: image.options).engineName == "io_uring")
    var options = image.options
    options.engine = .threads
    let device = try blockDevice(name: "b", options)
    #expect(device.engineName == "threads")
    #expect(device.engineNote == nil)
  }

  @Test(
    "without io_uring takes threads if it may choose, and is refused if not",
    arguments: [Errno.permission, .notImplemented])
  func withoutUring(error: Errno) throws {
    var options = BlockOptions(path: "disk.img")
    let chosen = try BlockDevice.chooseEngine(options) { () throws(Errno) in throw error }
    #expect(chosen.name == "threads")
    #expect(chosen.note == "io_uring cannot be used: \(error)")
    options.engine = .uring
    let refusal = #expect(throws: DeviceError.self) {
      try BlockDevice.chooseEngine(options) { () throws(Errno) in throw error }
    }
    #expect(
      refusal?.description
        == "cannot serve image disk.img with io_uring: \(error); use engine=threads")
    options.engine = .threads
    #expect(try BlockDevice.chooseEngine(options) { () throws(Errno) in throw error }.note == nil)
  }

  @Test(
    "without a ring for a queue serves it by threads and says so once, if it may choose",
    arguments: [Errno.noMemory, .tooManyOpenFiles, .permission])
  func withoutQueueRing(error: Errno) throws {
    // The first ring is the probe's, and the second queue's is the third.
    func make(_ engine: BlockOptions.Engine, _ image: TestImage, _ log: LineCollector) throws
      -> BlockDevice
    {
      var options = image.options
      options.engine = engine
      options.queueCount = 4
      options.onTrouble = log.hook
      let made = Atomic<Int>(0)
      return try BlockDevice(name: "block0", options: options) {
        (entries, descriptor) throws(Errno) in
        guard made.wrappingAdd(1, ordering: .relaxed).newValue <= 2 else { throw error }
        return try IOUring(entries: entries, descriptor: descriptor)
      }
    }
    let log = LineCollector()
    let image = try TestImage(byteCount: 1 << 16)
    let device = try make(.auto, image, log)
    #expect(device.engineName == "io_uring")
    let beds = try (0..<4).map { try BlockBed(device, index: $0) }
    for (index, bed) in beds.enumerated() {
      #expect(try bed.write(UInt64(index), pattern(512, seed: index)).status == 0)
      #expect(try bed.flush().status == 0)
    }
    #expect(
      log.lines == [
        "\(image.path): block0-1, and perhaps others, are served by threads: "
          + "io_uring cannot be used: \(error)"
      ])

    // Who asks for io_uring is refused.
    let other = try TestImage(byteCount: 1 << 16)
    let strict = try make(.uring, other, log)
    _ = try BlockBed(strict, index: 0)
    let refusal = #expect(throws: DeviceError.self) { try BlockBed(strict, index: 1) }
    #expect(refusal?.description.hasPrefix("cannot start block0-1: \(error)") == true)
  }

  @Test("reads what the page cache does not have", arguments: BlockVariant.engines)
  func cold(variant: BlockVariant) throws {
    let bytes = pattern(1 << 20)
    let image = try TestImage(bytes)
    let bed = try BlockBed(try variant.device(image))
    let file = try FileDescriptor.open(image.path, .readOnly)
    try file.sync()
    for sector in stride(from: 0, to: 2048, by: 64) {
      // Each read brings its neighbours.
      #expect(posix_fadvise(file.raw, 0, 0, POSIX_FADV_DONTNEED) == 0)
      let start = sector * 512
      #expect(try bed.read(UInt64(sector), 4096).data == Array(bytes[start..<start + 4096]))
    }
  }
}
