// SPDX-License-Identifier: Apache-2.0

import Backends
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@Suite("An entropy device", .timeLimit(.minutes(20)))
struct RngDeviceTests {
  private func device(
    _ source: RngOptions.Source = .kernel, limit: Int = 65536, log: LineCollector? = nil,
    name: String = "rng0"
  ) throws -> RngDevice {
    var options = RngOptions()
    options.source = source
    options.requestLimit = limit
    options.onTrouble = log?.hook
    return try RngDevice(name: name, options: options)
  }

  /// Random bytes leave a zeroed buffer zero at any one place with 1/256, at 16 places never.
  private func looksRandom(_ bytes: [UInt8]) -> Bool {
    stride(from: 0, to: bytes.count - 15, by: 16).allSatisfy { start in
      bytes[start..<start + 16].contains { $0 != 0 }
    }
  }

  @Test("is of type 4, has one queue and no configuration space")
  func shape() throws {
    let device = try device()
    #expect(device.id == .rng)
    #expect(device.queueSizes.count == 1)
    #expect(device.configuration().isEmpty)
    #expect(!device.writeConfiguration(at: 0, [1]))
    #expect(device.offeredFeatures == .allRing)
  }

  @Test("fills the whole buffer from the kernel", arguments: QueueFormat.allCases)
  func fillsTheBuffer(format: QueueFormat) throws {
    let device = try device()
    let bed = try QueueBed(device, format)
    let address = bed.space.take(8192)
    for count: UInt32 in [1, 64, 8192] {
      #expect(bed.offer([.writable(address, count)], token: UInt64(count)))
      let used = try bed.awaitUsed()
      #expect(used?.token == UInt64(count))
      #expect(used?.written == count)
    }
    #expect(looksRandom(bed.memory.bytes(at: address, count: 8192)))
    bed.stop()
    #expect(device.statistics[0].chains == 3)
    #expect(device.statistics[0].bytes == 8257)
    #expect(device.statistics[0].errors == 0)
  }

  @Test("fills every buffer of a chain", arguments: QueueFormat.allCases)
  func fillsEveryBuffer(format: QueueFormat) throws {
    let bed = try QueueBed(try device(), format)
    let address = bed.space.take(4096)
    #expect(
      bed.offer(
        [.writable(address, 100), .writable(address + 1000, 1), .writable(address + 2000, 500)],
        shape: .indirect))
    #expect(try bed.awaitUsed()?.written == 601)
    #expect(looksRandom(bed.memory.bytes(at: address, count: 96)))
    #expect(looksRandom(bed.memory.bytes(at: address + 2000, count: 496)))
    #expect(bed.memory.bytes(at: address + 100, count: 900).allSatisfy { $0 == 0 })
  }

  @Test("bounds the work of one request: a huge buffer is filled up to the limit")
  func hugeRequest() throws {
    let bed = try QueueBed(try device())
    let address = bed.space.take(0x20_0000)
    #expect(bed.offer([.writable(address, 0x20_0000)]))
    #expect(try bed.awaitUsed()?.written == 65536)
    #expect(bed.memory.bytes(at: address + 65536, count: 4096).allSatisfy { $0 == 0 })
  }

  @Test("gives a read-only buffer back untouched", arguments: QueueFormat.allCases)
  func readOnlyBuffer(format: QueueFormat) throws {
    let log = LineCollector()
    let device = try device(log: log)
    let bed = try QueueBed(device, format)
    let address = bed.space.take(64)
    #expect(bed.offer([.readable(address, 64)]))
    #expect(try bed.awaitUsed()?.written == 0)
    #expect(bed.memory.bytes(at: address, count: 64).allSatisfy { $0 == 0 })
    #expect(bed.offer([.writable(address, 64)]))
    #expect(try bed.awaitUsed()?.written == 64)
    bed.stop()
    #expect(device.statistics[0].errors == 1)
    #expect(log.lines == ["rng0: the driver gave a buffer that cannot be written"])
  }

  @Test("gives a buffer of length 0 back", arguments: QueueFormat.allCases)
  func zeroLength(format: QueueFormat) throws {
    let device = try device()
    let bed = try QueueBed(device, format)
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 0)]))
    #expect(try bed.awaitUsed()?.written == 0)
    #expect(bed.offer([.writable(address, 64)]))
    #expect(try bed.awaitUsed()?.written == 64)
    bed.stop()
    #expect(device.statistics[0].errors == 1)
  }

  @Test("reports at most a line a second, however many bad buffers come")
  func boundedReports() throws {
    let log = LineCollector()
    let start = ContinuousClock.now
    let device = try device(log: log)
    let bed = try QueueBed(device)
    let address = bed.space.take(64)
    for _ in 0..<500 {
      #expect(bed.offer([.readable(address, 64)]))
      #expect(try bed.awaitUsed() != nil)
    }
    bed.stop()
    #expect(device.statistics[0].errors == 500)
    #expect((1...lineLimit(since: start)).contains(log.lines.count))
  }

  // MARK: A file as the source

  @Test("reads a file from its start, in order, over several requests and a restart")
  func regularFile() throws {
    let directory = try TemporaryDirectory()
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let bed = try QueueBed(try device(.file(try directory.makeFile("noise", bytes))))
    let address = bed.space.take(1000)
    #expect(bed.offer([.writable(address, 400)]))
    #expect(try bed.awaitUsed()?.written == 400)
    bed.stop()
    try bed.start()
    #expect(bed.offer([.writable(address + 400, 300), .writable(address + 700, 300)]))
    #expect(try bed.awaitUsed()?.written == 600)
    #expect(bed.memory.bytes(at: address, count: 1000) == bytes)
  }

  @Test(
    "completes a request with what was left of a file that ended; the next waits until it has more",
    arguments: QueueFormat.allCases)
  func endOfFile(format: QueueFormat) throws {
    let directory = try TemporaryDirectory()
    let log = LineCollector()
    let path = try directory.makeFile("noise", [1, 2, 3])
    let device = try device(.file(path), log: log, name: "rng-end")
    let bed = try QueueBed(device, format)
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 64)], token: 1))
    #expect(try bed.awaitUsed()?.written == 3)
    #expect(bed.memory.bytes(at: address, count: 4) == [1, 2, 3, 0])
    #expect(bed.offer([.writable(address, 2)], token: 2))
    let isIdle = try isAsleep(threads: "rng-end") { () throws in
      #expect(try bed.awaitUsed(within: .milliseconds(300)) == nil)
    }
    #expect(isIdle)
    // It can be stopped while it waits.
    bed.stop()
    #expect(bed.inFlightCount == 0)
    #expect(device.statistics[0].errors == 1)
    let line = "rng-end: the entropy source has ended; the guest waits until it has more"
    #expect(log.lines == [line])
    try bed.start()
    #expect(try bed.awaitUsed(within: .milliseconds(50)) == nil)
    try FileDescriptor.open(path, [.writeOnly, .append]).writeAll([4, 5])
    let used = try bed.awaitUsed()
    #expect(used?.token == 2)
    #expect(used?.written == 2)
    #expect(bed.memory.bytes(at: address, count: 3) == [4, 5, 3])
  }

  @Test("reports once that its source has ended, however long the guest waits")
  func endIsReportedOnce() throws {
    let directory = try TemporaryDirectory()
    let log = LineCollector()
    let bed = try QueueBed(try device(.file(try directory.makeFile("noise", [1])), log: log))
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 1)]))
    #expect(try bed.awaitUsed()?.written == 1)
    #expect(bed.offer([.writable(address, 1)]))
    // Longer than it takes until the source is looked at again, and lines may come a second apart.
    #expect(try bed.awaitUsed(within: .milliseconds(2500)) == nil)
    #expect(log.lines.count == 1)
  }

  @Test("keeps a request of a source that fails, says why once, and can be stopped")
  func failingSource() throws {
    // What the kernel tells of a thread cannot be read any more once it has ended.
    let mayEnd = Flag()
    let number = Atomic<Int32>(0)
    let subject = try WorkerThread.start(name: "subject", state: 0) { _ in
      number.store(CurrentThread.id, ordering: .releasing)
      while !mayEnd.isSet { pause(.milliseconds(1)) }
    }
    let isThere = eventually { number.load(ordering: .acquiring) != 0 }
    let path = "/proc/self/task/\(number.load(ordering: .acquiring))/stat"
    let log = LineCollector()
    let opened = Result { try device(.file(path), log: log, name: "rng-fails") }
    mayEnd.set()
    subject.join()
    #expect(isThere)
    #expect(eventually { !FileSystem.exists(path) })
    let rng = try opened.get()
    let bed = try QueueBed(rng)
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 2)]))
    let isIdle = try isAsleep(threads: "rng-fails") { () throws in
      #expect(try bed.awaitUsed(within: .milliseconds(2500)) == nil)
    }
    #expect(isIdle)
    bed.stop()
    #expect(bed.inFlightCount == 0)
    #expect(
      log.lines == [
        "rng-fails: cannot read the entropy source: No such process; the guest waits until that "
          + "passes"
      ])
    #expect(rng.statistics[0].errors == 1)
  }

  @Test("waits for a FIFO, whose writers may come and go, and fills the whole buffer")
  func fifo() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.makeFIFO("noise")
    let bed = try QueueBed(try device(.file(path)))
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 8)]))
    #expect(try bed.awaitUsed(within: .milliseconds(50)) == nil)
    for part: [UInt8] in [[1, 2, 3], [4, 5, 6, 7, 8]] {
      let writer = try FileDescriptor.open(path, [.writeOnly, .nonBlocking])
      try writer.writeAll(part)
    }
    #expect(try bed.awaitUsed()?.written == 8)
    #expect(bed.memory.bytes(at: address, count: 9) == [1, 2, 3, 4, 5, 6, 7, 8, 0])
  }

  @Test(
    "gives the request back when it is stopped while it waits for entropy",
    arguments: QueueFormat.allCases, [0, 3])
  func stopWhileWaiting(format: QueueFormat, received: Int) throws {
    let directory = try TemporaryDirectory()
    let path = try directory.makeFIFO("noise")
    let device = try device(.file(path))
    let bed = try QueueBed(device, format)
    let writer = try FileDescriptor.open(path, [.writeOnly, .nonBlocking])
    let address = bed.space.take(64)
    if received > 0 { try writer.writeAll(Array(repeating: 9, count: received)) }
    #expect(bed.offer([.writable(address, 8)], token: 5))
    // What there is has been read, and more is waited for.
    let reader = try FileDescriptor.open(path, [.readOnly, .nonBlocking])
    let isRead = try eventually {
      try Poll.wait(for: .readable, on: reader, timeout: .zero).isEmpty
    }
    #expect(isRead)
    #expect(try bed.awaitUsed(within: .milliseconds(50)) == nil)
    let start = ContinuousClock.now
    bed.stop()
    #expect(ContinuousClock.now - start < soon)
    #expect(bed.inFlightCount == 0)
    #expect(try bed.collect() == nil)
    device.reset()
    // The same request is served after the restart.
    try bed.start()
    try writer.writeAll([1, 2, 3, 4, 5, 6, 7, 8])
    let used = try bed.awaitUsed()
    #expect(used?.token == 5)
    #expect(used?.written == 8)
    #expect(bed.memory.bytes(at: address, count: 8) == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test("does not spin while it waits for entropy")
  func waitingIsIdle() throws {
    let directory = try TemporaryDirectory()
    let bed = try QueueBed(try device(.file(try directory.makeFIFO("noise")), name: "rng-idle"))
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 8)]))
    #expect(try bed.awaitUsed(within: .milliseconds(50)) == nil)
    let isIdle = try isAsleep(threads: "rng-idle") { () throws in
      #expect(try bed.awaitUsed(within: .milliseconds(300)) == nil)
    }
    #expect(isIdle)
  }

  // MARK: What the user got wrong

  @Test("names the file that cannot be opened, and why")
  func missingFile() {
    let error = #expect(throws: DeviceError.self) {
      try device(.file("/nonexistent/noise"))
    }
    #expect(
      error?.description
        == "cannot open the entropy source /nonexistent/noise: No such file or directory; name another, "
        + "or none for the kernel's own")
  }

  @Test("refuses a source that has nothing, and does not take the first byte of one that has")
  func emptySource() throws {
    let directory = try TemporaryDirectory()
    for path in [try directory.makeFile("empty", []), "/dev/null"] {
      let error = #expect(throws: DeviceError.self) { try device(.file(path)) }
      #expect(
        error?.description
          == "cannot open the entropy source \(path): it is empty; name another, or none for the "
          + "kernel's own")
    }
    // Nothing yet is not an end.
    _ = try device(.file(try directory.makeFIFO("noise")))
    // The size of this file is 0, and it has something all the same.
    let bed = try QueueBed(try device(.file("/proc/sys/kernel/random/uuid")))
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 30)]))
    #expect(try bed.awaitUsed()?.written == 30)
  }

  @Test("refuses a directory as its source, and a limit of nothing")
  func badOptions() {
    let error = #expect(throws: DeviceError.self) { try device(.file("/tmp")) }
    #expect(
      error?.description.hasPrefix("cannot open the entropy source /tmp: Is a directory; ") == true)
    #expect(throws: DeviceError.self) { try device(limit: 0) }
  }
}
