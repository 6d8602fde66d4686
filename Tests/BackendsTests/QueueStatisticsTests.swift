// SPDX-License-Identifier: Apache-2.0
//
// What each device counts for requests that are known exactly, and what is seen while one hangs.

import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite(.timeLimit(.minutes(20))) struct QueueStatisticsTests {
  @Test(arguments: BlockVariant.engines)
  func `a disk's requests are counted one by one`(variant: BlockVariant) throws {
    let image = try TestImage(byteCount: 1 << 20)
    let device = try variant.device(image)
    let bed = try BlockBed(device)
    let before = device.statistics[0].reading()
    #expect(before.state == .running)
    #expect(before.starts == 1)
    #expect(before.size == 16)
    #expect(before.features.contains(.eventIndex))
    for sector in 0..<3 { _ = try bed.write(UInt64(sector), pattern(512)) }
    _ = try bed.read(0, 4096)
    _ = try bed.flush()
    #expect(try bed.request(77).status == 2)

    // The driver has been given back all of them, so they are counted.
    let reading = device.statistics[0].reading()
    #expect(reading.name == "requests")
    #expect(reading.chains == 6)
    #expect(reading.bytesFromGuest == 3 * 512)
    #expect(reading.bytesToGuest == 4096)
    #expect(reading.errors == 1)
    #expect(reading.serviceTimes.total == 6)
    #expect(reading.inFlight == 0)
    #expect(reading.oldestAge == nil)
    // The worker may have found some before it slept.
    #expect(reading.kicks <= 6)
    #expect(reading.calls > 0)

    bed.stop()
    #expect(device.statistics[0].reading().state == .stopped)
    try bed.queue.start()
    _ = try bed.read(0, 512)
    let later = device.statistics[0].reading()
    #expect(later.starts == 2)
    #expect(later.chains == 7)
  }

  @Test(arguments: RecordedDisk.Engine.allCases)
  func `requests in flight are seen while the disk hangs, with the age of the oldest`(
    engine: RecordedDisk.Engine
  ) throws {
    let image = try TestImage(byteCount: 1 << 20)
    let recorder = BlockRecorder()
    recorder.hang.set(true)
    let device = try RecordedDisk(image, engine, recorder)
    let bed = try BlockBed(device)
    let count = 3
    for index in 0..<count {
      let header = bed.queue.space.take(16)
      bed.memory.write(BlockBed.header(BlockType.read, UInt64(index)), at: header)
      let room = bed.queue.space.take(513)
      #expect(bed.queue.offer([.readable(header, 16), .writable(room, 513)], token: UInt64(index)))
    }
    // One after the other, or all of them: the cache has none of it.
    let statistics = device.statistics[0]
    let expected = engine == .threads ? 1 : count
    #expect(eventually { statistics.reading().inFlight == expected })
    let first = statistics.reading()
    let age = try #require(first.oldestAge)
    #expect(eventually { statistics.reading().oldestAge ?? 0 >= age + 20_000_000 })
    #expect(statistics.reading().chains == 0)

    recorder.hang.set(false)
    for _ in 0..<count { #expect(try bed.queue.awaitUsed() != nil) }
    let last = statistics.reading()
    #expect(last.inFlight == 0)
    #expect(last.oldestAge == nil)
    #expect(last.chains == UInt64(count))
    #expect(last.serviceTimes.total == UInt64(count))
    // The first has hung for longer than was seen, and times are told to a sixteenth.
    #expect(try #require(last.serviceTimes.percentile(1)) >= 18_000_000)
  }

  @Test func `a request for entropy is in flight while the source has none`() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.makeFIFO("entropy")
    // Both ends: the source neither fails to open nor ends.
    let source = try FileDescriptor.open(path, .readWrite)
    var options = RngOptions()
    options.source = .file(path)
    let device = try RngDevice(name: "rng0", options: options)
    let bed = try QueueBed(device)
    let statistics = device.statistics[0]
    let address = bed.space.take(64)
    #expect(bed.offer([.writable(address, 64)]))
    #expect(eventually { statistics.reading().inFlight == 1 })
    #expect(statistics.reading().oldestAge != nil)
    #expect(statistics.chains == 0)
    try source.writeAll(pattern(64))
    #expect(try bed.awaitUsed() != nil)
    let reading = statistics.reading()
    #expect(reading.inFlight == 0)
    #expect(reading.chains == 1)
    #expect(reading.bytesToGuest == 64)
    #expect(reading.bytesFromGuest == 0)
    #expect(reading.serviceTimes.total == 1)

    // One that is taken back from a worker is not in flight any more.
    #expect(bed.offer([.writable(address, 64)]))
    #expect(eventually { statistics.reading().inFlight == 1 })
    bed.stop()
    #expect(statistics.reading().inFlight == 0)
    #expect(statistics.chains == 1)
  }

  @Test func `frames count for themselves, and the buffers they come in as chains`() throws {
    let receive = try NetBed(NetBed.receive, features: [.netMergeBuffers])
    #expect(receive.statistics.name == "rx")
    for _ in 0..<3 { #expect(receive.offerBuffer(1024) != nil) }
    try receive.hostSend(pattern(100))
    #expect(try receive.queue.awaitUsed() != nil)
    // Held buffers wait for the host, which is no request in flight.
    #expect(receive.statistics.reading().inFlight == 0)
    try receive.hostSend(pattern(1500))
    for _ in 0..<2 { #expect(try receive.queue.awaitUsed() != nil) }
    let received = receive.statistics.reading()
    #expect(received.chains == 3)
    #expect(received.bytesToGuest == 1600)
    #expect(received.bytesFromGuest == 0)
    #expect(received.serviceTimes.total == 2)

    let transmit = try NetBed(NetBed.transmit)
    #expect(transmit.statistics.name == "tx")
    for count in [60, 1514] {
      #expect(transmit.send(pattern(count)))
      #expect(try transmit.queue.awaitUsed() != nil)
    }
    let sent = transmit.statistics.reading()
    #expect(sent.chains == 2)
    #expect(sent.bytesFromGuest == 1574)
    #expect(sent.bytesToGuest == 0)
    #expect(sent.serviceTimes.total == 2)
    #expect(sent.inFlight == 0)
  }

  @Test func `what a guest prints and is typed is counted by direction`() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("console")
    let bed = try ConsoleBed(ConsoleOptions(.socket(path: path)))
    let client = try UnixSocket.connect(path)
    try bed.say("to the host")
    #expect(try readText(11, from: client) == "to the host")
    try client.writeAll(Array("to the guest".utf8))
    #expect(try bed.hearText(12) == "to the guest")
    let input = bed.device.statistics[0].reading()
    let output = bed.device.statistics[1].reading()
    #expect([input.name, output.name] == ["rx", "tx"])
    #expect(input.bytesToGuest == 12)
    #expect(input.bytesFromGuest == 0)
    #expect(input.inFlight == 0)
    #expect(input.serviceTimes.total == input.chains)
    #expect(output.bytesFromGuest == 11)
    #expect(output.bytesToGuest == 0)
    #expect(output.chains == 1)
    #expect(output.serviceTimes.total == 1)
  }

  @Test func `a broken ring is a failed queue until it is started again`() throws {
    let device = try RngDevice(name: "rng0")
    let bed = try QueueBed(device)
    guard case .split(_, let available, _) = bed.plan.layout else {
      preconditionFailure("not split")
    }
    // More than the ring has entries.
    bed.memory.store(UInt16(1000), at: available + 2)
    bed.kick.signal()
    #expect(eventually { device.statistics[0].reading().state == .failed })
    #expect(device.statistics[0].faults == 1)
    bed.stop()
    #expect(device.statistics[0].reading().state == .stopped)
  }
}
