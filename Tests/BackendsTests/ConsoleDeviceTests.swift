// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("A console", .timeLimit(.minutes(20)))
struct ConsoleDeviceTests {
  let directory: TemporaryDirectory
  var path: String { directory.file("log") }

  init() throws { directory = try TemporaryDirectory() }

  private func read() throws -> String {
    String(decoding: try FileDescriptor.open(path).read(upTo: 1 << 20), as: UTF8.self)
  }

  // MARK: What it says of itself

  @Test("is of type 3, has two queues, and offers its size but no ports and no emergency output")
  func shape() throws {
    var options = ConsoleOptions(.file(path: path))
    options.size = TerminalSize(columns: 300, rows: 25)
    let device = try ConsoleDevice(name: "console0", options: options)
    #expect(device.id == .console)
    #expect(device.queueSizes.count == 2)
    #expect(device.offeredFeatures == Features.allRing.union(Features(bit: 0)))
    #expect(device.configuration() == [44, 1, 25, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    #expect(!device.writeConfiguration(at: 0, [1]))
  }

  @Test("tells a new size once, and an old one not at all")
  func resize() throws {
    let device = try ConsoleDevice(name: "console0", options: ConsoleOptions(.file(path: path)))
    let changes = LineCollector()
    device.configurationChange.observe { changes.hook("changed") }
    #expect(device.configuration().prefix(4) == [0, 0, 0, 0])
    for columns: UInt16 in [80, 80, 132] {
      device.resize(to: TerminalSize(columns: columns, rows: 24))
    }
    #expect(device.configuration().prefix(4) == [132, 0, 24, 0])
    #expect(changes.lines.count == 2)
    // There is no terminal to look at.
    device.hostResized()
    #expect(device.size == TerminalSize(columns: 132, rows: 24))
  }

  // MARK: Buffers of the wrong kind

  @Test(
    "prints what can be read and leaves a writable buffer alone", arguments: QueueFormat.allCases)
  func writableBufferInTransmitQueue(format: QueueFormat) throws {
    let bed = try ConsoleBed(ConsoleOptions(.file(path: path)), format)
    let address = bed.transmit.space.take(64)
    bed.transmit.memory.write(Array("text".utf8), at: address)
    #expect(bed.transmit.offer([.readable(address, 4), .writable(address + 32, 8)]))
    #expect(try bed.transmit.awaitUsed()?.written == 0)
    #expect(bed.transmit.offer([.writable(address + 32, 8)]))
    #expect(try bed.transmit.awaitUsed()?.written == 0)
    #expect(bed.transmit.offer([.readable(address, 0)]))
    #expect(try bed.transmit.awaitUsed()?.written == 0)
    #expect(
      bed.transmit.memory.bytes(at: address + 32, count: 8) == [UInt8](repeating: 0, count: 8))
    bed.end()
    #expect(try read() == "text")
    #expect(bed.device.statistics[1].errors == 2)
  }

  @Test("gives an input buffer back that cannot be written", arguments: QueueFormat.allCases)
  func readOnlyBufferInReceiveQueue(format: QueueFormat) throws {
    let socket = directory.file("sock")
    let log = LineCollector()
    let start = ContinuousClock.now
    var options = ConsoleOptions(.socket(path: socket))
    options.onTrouble = log.hook
    let bed = try ConsoleBed(options, format)
    let address = bed.receive.space.take(64)
    #expect(bed.receive.offer([.readable(address, 64)]))
    #expect(try bed.receive.awaitUsed()?.written == 0)
    #expect(bed.receive.offer([.writable(address, 0)]))
    #expect(try bed.receive.awaitUsed()?.written == 0)
    // The next good one is served.
    try UnixSocket.connect(socket).writeAll([7, 8, 9])
    #expect(bed.receive.offer([.writable(address, 2), .writable(address + 32, 8)]))
    #expect(try bed.receive.awaitUsed()?.written == 3)
    #expect(bed.receive.memory.bytes(at: address, count: 3) == [7, 8, 0])
    #expect(bed.receive.memory.bytes(at: address + 32, count: 2) == [9, 0])
    bed.end()
    #expect(bed.device.statistics[0].errors == 2)
    #expect(
      log.lines.first == "console0: the driver gave a buffer for input that cannot be written")
    #expect(log.lines.count <= lineLimit(since: start))
  }

  @Test(
    "stops at once while it waits for input, and gives the buffer back",
    arguments: QueueFormat.allCases)
  func stopWhileWaitingForInput(format: QueueFormat) throws {
    let socket = directory.file("sock")
    let bed = try ConsoleBed(ConsoleOptions(.socket(path: socket)), format)
    let address = bed.receive.space.take(64)
    #expect(bed.receive.offer([.writable(address, 64)], token: 3))
    #expect(try bed.receive.awaitUsed(within: .milliseconds(50)) == nil)
    bed.receive.stop()
    #expect(bed.receive.inFlightCount == 0)
    try bed.receive.start()
    try UnixSocket.connect(socket).writeAll([1])
    #expect(try bed.receive.awaitUsed()?.token == 3)
  }

  @Test("takes a chain of more than the buffers hold, a piece after the other")
  func hugeChain() throws {
    let bed = try ConsoleBed(ConsoleOptions(.file(path: path)))
    let address = bed.transmit.space.take(0x20_0000)
    let bytes = randomBytes(0x20_0000)
    bed.transmit.memory.write(bytes, at: address)
    #expect(bed.transmit.offer([.readable(address, 0x20_0000)]))
    #expect(try bed.transmit.awaitUsed() != nil)
    bed.end()
    let file = try FileDescriptor.open(path)
    #expect(try readBytes(0x20_0001, from: file) == bytes)
  }

  @Test("queues that outlive the host's side neither spin nor hang")
  func shutDownFirst() throws {
    let bed = try ConsoleBed(ConsoleOptions(.file(path: path)), name: "late")
    bed.device.shutDown()
    try bed.say("to nobody")
    let address = bed.receive.space.take(64)
    #expect(bed.receive.offer([.writable(address, 64)]))
    pause(.milliseconds(50))
    let isIdle = try isAsleep(threads: "late-rx") { () throws in
      #expect(try bed.receive.awaitUsed(within: .milliseconds(200)) == nil)
    }
    #expect(isIdle)
    bed.end()
    bed.device.shutDown()
  }

  // MARK: A log file

  @Test("appends to a file what the guest prints", arguments: QueueFormat.allCases)
  func logFile(format: QueueFormat) throws {
    _ = try directory.makeFile("log", Array("before\n".utf8))
    let bed = try ConsoleBed(ConsoleOptions(.file(path: path)), format)
    #expect(bed.device.hostPath == path)
    try bed.say("one\n")
    #expect(try eventually { try read() == "before\none\n" })
    try bed.say("two\n")
    bed.end()
    #expect(try read() == "before\none\ntwo\n")
  }

  @Test("goes on when its file cannot be written, and says so")
  func fullDisk() throws {
    let log = LineCollector()
    var options = ConsoleOptions(.file(path: "/dev/full"))
    options.onTrouble = log.hook
    let bed = try ConsoleBed(options)
    #expect(try bed.say(randomBytes(300_000)) == 300_000)
    bed.end()
    #expect(bed.device.losses.output.load(ordering: .relaxed) == 300_000)
    #expect(
      log.lines.first == "console0: cannot write to /dev/full: No space left on device")
  }

  @Test("names a file that cannot be opened, and an option without sense")
  func badOptions() throws {
    let error = #expect(throws: DeviceError.self) {
      try ConsoleDevice(name: "console0", options: ConsoleOptions(.file(path: "/nonexistent/log")))
    }
    #expect(
      error?.description
        == "cannot open /nonexistent/log for console0: No such file or directory")
    var options = ConsoleOptions(.file(path: path))
    options.bufferSize = 0
    #expect(throws: DeviceError.self) { try ConsoleDevice(name: "console0", options: options) }
  }

  @Test("leaves no descriptor open, however it was connected and however often")
  func descriptors() async {
    // In a process of its own: other tests open and close, too.
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      let null = try FileDescriptor.open("/dev/null", .readWrite)
      var before = 0
      for round in 0..<6 {
        // The first round has opened what stays open for good.
        if round == 1 { before = try Process.openDescriptorCount() }
        let ends: [ConsoleOptions.HostEnd] = [
          .stdio(input: null.raw, output: null.raw), .pty(link: directory.file("pty")),
          .socket(path: directory.file("sock")), .file(path: directory.file("log")),
        ]
        for end in ends {
          let bed = try ConsoleBed(ConsoleOptions(end))
          try bed.say("text")
          bed.end()
        }
        // Refused at different depths.
        let refused: [ConsoleOptions.HostEnd] = [
          .stdio(input: null.raw, output: 9999), .pty(link: "/nonexistent/link"),
          .socket(path: "/nonexistent/sock"), .file(path: "/nonexistent/log"),
        ]
        for end in refused {
          #expect(throws: DeviceError.self) {
            try ConsoleDevice(name: "console0", options: ConsoleOptions(end))
          }
        }
      }
      let isSame = try eventually { try Process.openDescriptorCount() == before }
      #expect(isSame)
    }
  }
}
