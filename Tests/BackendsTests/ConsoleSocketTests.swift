// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@Suite("A console behind a Unix socket", .timeLimit(.minutes(20)))
struct ConsoleSocketTests {
  let directory: TemporaryDirectory
  var path: String { directory.file("console.sock") }

  init() throws { directory = try TemporaryDirectory() }

  private func options(_ change: (inout ConsoleOptions) -> Void = { _ in }) -> ConsoleOptions {
    var options = ConsoleOptions(.socket(path: path))
    // So that no reader of a test is given up.
    options.patience = soon
    change(&options)
    return options
  }

  @Test("carries a session both ways", arguments: QueueFormat.allCases)
  func session(format: QueueFormat) throws {
    let bed = try ConsoleBed(options(), format)
    #expect(bed.device.hostPath == path)
    let client = try UnixSocket.connect(path)
    try bed.say("login: ")
    #expect(try readText(7, from: client) == "login: ")
    try client.writeAll(Array("root\r".utf8))
    #expect(try bed.hearText(5) == "root\r")
    // The driver's put_chars: a few bytes at a time, each waited for.
    for _ in 0..<50 { try bed.say("0123456789abcde\n") }
    #expect(try readText(800, from: client) == String(repeating: "0123456789abcde\n", count: 50))
  }

  @Test("carries 1 MiB each way unchanged and in order", arguments: QueueFormat.allCases)
  func megabyte(format: QueueFormat) throws {
    let bed = try ConsoleBed(options(), format)
    let client = try UnixSocket.connect(path)
    let out = randomBytes(1 << 20, seed: 7)
    let reader = try WorkerThread.start(name: "reader", state: try client.duplicate()) {
      (client: consuming FileDescriptor) in
      (try? readBytes(1 << 20, from: client, within: soon)) ?? []
    }
    #expect(try bed.say(out, pieceSize: 4000, within: soon) == out.count)
    #expect(reader.join() == out)

    let writer = try WorkerThread.start(name: "writer", state: try client.duplicate()) {
      (client: consuming FileDescriptor) in
      _ = try? client.writeAll(randomBytes(1 << 20, seed: 8))
    }
    let heard = try bed.hear(1 << 20, within: soon)
    writer.join()
    #expect(heard == randomBytes(1 << 20, seed: 8))
    bed.end()
    #expect(bed.device.losses.output.load(ordering: .relaxed) == 0)
    #expect(bed.device.losses.input.load(ordering: .relaxed) == 0)
    #expect(bed.device.statistics[0].bytes == 1 << 20)
    #expect(bed.device.statistics[1].bytes == 1 << 20)
  }

  @Test("serves one client at a time, the next one when it leaves")
  func nextClient() throws {
    let bed = try ConsoleBed(options())
    let first = try UnixSocket.connect(path)
    try bed.say("for the first")
    #expect(try readText(13, from: first) == "for the first")
    let second = try UnixSocket.connect(path)
    try second.writeAll(Array("too early".utf8))
    #expect(try bed.hear(1, within: .milliseconds(50)).isEmpty)
    close(first)
    #expect(try bed.hearText(9) == "too early")
    try bed.say("for the second")
    #expect(try readText(14, from: second) == "for the second")
  }

  @Test("delivers what a client sent before it left")
  func lastWords() throws {
    let bed = try ConsoleBed(options())
    let bytes = randomBytes(100_000)
    let writer = try WorkerThread.start(name: "writer", state: try UnixSocket.connect(path)) {
      (client: consuming FileDescriptor) in
      _ = try? client.writeAll(randomBytes(100_000))
    }
    #expect(try bed.hear(100_000) == bytes)
    writer.join()
  }

  @Test("sends on to a client that has only closed its sending side")
  func halfClosed() throws {
    let bed = try ConsoleBed(options())
    let client = try UnixSocket.connect(path)
    try client.writeAll(Array("date\r".utf8))
    #expect(shutdown(client.raw, Int32(SHUT_WR)) == 0)
    #expect(try bed.hearText(5) == "date\r")
    try bed.say("Thu Jan 1")
    #expect(try readText(9, from: client) == "Thu Jan 1")
  }

  @Test(
    "never makes the guest wait for a client that is not there, and keeps the last output for one",
    arguments: ConsoleOptions.Overflow.allCases)
  func absentReader(overflow: ConsoleOptions.Overflow) throws {
    let bed = try ConsoleBed(
      options {
        $0.overflow = overflow
        $0.bufferSize = 10_000
      })
    let bytes = randomBytes(300_000)
    #expect(try bed.say(bytes) == bytes.count)
    #expect(
      eventually { bed.device.losses.output.load(ordering: .relaxed) == UInt64(290_000) })
    let client = try UnixSocket.connect(path)
    #expect(try readBytes(10_000, from: client) == Array(bytes.suffix(10_000)))
    try bed.say("from now on complete")
    #expect(try readText(20, from: client) == "from now on complete")
  }

  @Test("overflow=block holds the guest for a slow reader, and loses nothing")
  func slowReaderBlocks() throws {
    let bed = try ConsoleBed(options { $0.bufferSize = 10_000 })
    let bytes = randomBytes(700_000)
    let start = ContinuousClock.now
    let reader = try WorkerThread.start(name: "reader", state: try UnixSocket.connect(path)) {
      (client: consuming FileDescriptor) in
      pause(.milliseconds(300))
      return (try? readBytes(700_000, from: client)) ?? []
    }
    #expect(try bed.say(bytes, pieceSize: 8000) == bytes.count)
    #expect(ContinuousClock.now - start > .milliseconds(250))
    #expect(reader.join() == bytes)
    #expect(bed.device.losses.output.load(ordering: .relaxed) == 0)
  }

  @Test("overflow=block gives up on a reader that takes nothing, until it does")
  func patienceEnds() throws {
    let log = LineCollector()
    let bed = try ConsoleBed(
      options {
        $0.bufferSize = 10_000
        $0.patience = .milliseconds(100)
        $0.onTrouble = log.hook
      })
    let client = try UnixSocket.connect(path)
    let bytes = randomBytes(700_000)
    #expect(try bed.say(bytes, pieceSize: 8000) == bytes.count)
    #expect(bed.device.losses.output.load(ordering: .relaxed) > 0)
    #expect(
      log.lines == ["console0: nobody takes the output; the oldest is dropped until somebody does"])
    let received = try readRest(of: bytes.count, bed, from: client)
    #expect(Array(received.suffix(10_000)) == Array(bytes.suffix(10_000)))
    // The reader is back, and waited for again.
    let lost = bed.device.losses.output.load(ordering: .relaxed)
    try bed.say("welcome back")
    #expect(try readText(12, from: client) == "welcome back")
    #expect(bed.device.losses.output.load(ordering: .relaxed) == lost)
  }

  @Test("overflow=drop never holds the guest, and drops the oldest output")
  func slowReaderDrops() throws {
    let bed = try ConsoleBed(
      options {
        $0.overflow = .drop
        $0.bufferSize = 10_000
      })
    let client = try UnixSocket.connect(path)
    let bytes = randomBytes(700_000)
    #expect(try bed.say(bytes, pieceSize: 8000) == bytes.count)
    let received = try readRest(of: bytes.count, bed, from: client)
    #expect(received.count < 600_000)
    #expect(Array(received.suffix(10_000)) == Array(bytes.suffix(10_000)))
  }

  @Test(
    "can be stopped while the guest is held, and goes on in the middle of a chain",
    arguments: QueueFormat.allCases)
  func stopWhileBlocked(format: QueueFormat) throws {
    let bed = try ConsoleBed(options { $0.bufferSize = 10_000 }, format)
    let client = try UnixSocket.connect(path)
    let bytes = randomBytes(700_000)
    let taken = try bed.say(bytes, pieceSize: 8000, within: .milliseconds(300))
    #expect(taken < 600_000)
    for _ in 0..<3 {
      let start = ContinuousClock.now
      bed.transmit.stop()
      #expect(ContinuousClock.now - start < soon)
      #expect(bed.transmit.inFlightCount == 0)
      try bed.transmit.start()
    }
    let received = try readBytes(bed.offeredOutput, from: client)
    #expect(received == Array(bytes.prefix(bed.offeredOutput)))
    #expect(bed.device.losses.output.load(ordering: .relaxed) == 0)
  }

  @Test("forgets the middle of a chain with a reset")
  func resetWhileBlocked() throws {
    let bed = try ConsoleBed(options { $0.bufferSize = 10_000 })
    let client = try UnixSocket.connect(path)
    _ = try bed.say(randomBytes(700_000), pieceSize: 8000, within: .milliseconds(300))
    bed.transmit.stop()
    bed.device.reset()
    let again = try QueueBed(bed.device, index: 1)
    let line = Array("a new driver's first line".utf8)
    #expect(again.offer(line))
    // What was taken before the reset comes first.
    var received: [UInt8] = []
    let hasCome = try eventually {
      received += try readBytes(700_000, from: client, within: .milliseconds(20))
      return received.suffix(line.count) == line[...]
    }
    #expect(hasCome)
    #expect(try again.awaitUsed() != nil)
    let old = received.dropLast(line.count)
    #expect(old.count < 600_000)
    #expect(old == randomBytes(700_000).prefix(old.count))
  }

  @Test("holds a client back that sends more than the guest takes, and loses none of it")
  func inputBackPressure() throws {
    let bed = try ConsoleBed(options())
    let client = try UnixSocket.connect(path)
    try client.setNonBlocking(true)
    let bytes = randomBytes(1_000_000)
    let sent = try sendUntilFull(bytes, to: client)
    #expect(sent < 600_000)
    // A paused guest changes nothing.
    bed.receive.stop()
    bed.device.reset()
    try bed.receive.start()
    #expect(try bed.hear(sent) == Array(bytes.prefix(sent)))
  }

  @Test("a client that sends more than the guest takes, and leaves, does not keep the next one out")
  func stuckInput() throws {
    let log = LineCollector()
    let bed = try ConsoleBed(options { $0.onTrouble = log.hook }, name: "stuck-input")
    let bytes = randomBytes(1_000_000)
    let client = try UnixSocket.connect(path)
    try client.setNonBlocking(true)
    let sent = try sendUntilFull(bytes, to: client)
    let next = try UnixSocket.connect(path)
    close(client)
    // What the guest says meanwhile is for the client that leaves, as long as any program has its socket.
    let isLetIn = try eventually { () throws in
      try bed.say(".")
      return try Poll.wait(for: .readable, on: next, timeout: .zero) == .readable
    }
    #expect(isLetIn)
    try bed.say("for the next")
    var text = ""
    let hasCome = try eventually { () throws in
      text += try readText(1000, from: next, within: .milliseconds(10))
      return text.hasSuffix("for the next")
    }
    #expect(hasCome)
    #expect(text.dropLast(12).allSatisfy { $0 == "." })
    let lost = Int(bed.device.losses.input.load(ordering: .relaxed))
    #expect(lost > 0 && lost < sent)
    #expect(
      log.lines == [
        "stuck-input: the guest takes no input; \(lost) bytes of a client that left are dropped"
      ])
    // What had been taken before is the guest's, and then comes what the next client sends.
    try next.writeAll(Array("and from it".utf8))
    #expect(try bed.hear(sent - lost) == Array(bytes.prefix(sent - lost)))
    #expect(try bed.hearText(11) == "and from it")
  }

  @Test("serves clients without a guest, and a guest without clients, for nothing")
  func idle() throws {
    let device = try ConsoleDevice(name: "idle-console", options: options())
    let client = try UnixSocket.connect(path)
    try client.writeAll([UInt8](repeating: 1, count: 100))
    #expect(shutdown(client.raw, Int32(SHUT_WR)) == 0)
    pause(.milliseconds(50))
    #expect(try isAsleep(threads: "idle-console"))
    device.shutDown()
  }

  @Test("removes its socket at the end, and its clients see the end after the last output")
  func shutDown() throws {
    let bed = try ConsoleBed(options())
    let client = try UnixSocket.connect(path)
    // It is let in before the end.
    try bed.say("x")
    #expect(try readText(1, from: client) == "x")
    let bytes = randomBytes(50_000)
    #expect(try bed.say(bytes) == bytes.count)
    bed.end()
    #expect(!FileSystem.exists(path))
    #expect(try readBytes(60_000, from: client) == bytes)
  }

  @Test("takes over a socket that was left behind, but not one in use or a file")
  func paths() throws {
    do {
      let left = try UnixSocket.listen(path)
      #expect(left.raw >= 0)
    }
    #expect(FileSystem.exists(path))
    #expect(try eventually { try UnixSocket.state(of: path) == .stale })
    let device = try ConsoleDevice(name: "console0", options: options())
    let error = #expect(throws: DeviceError.self) {
      try ConsoleDevice(name: "console1", options: options())
    }
    #expect(
      error?.description == """
        cannot listen on \(path) for console1: another program listens there; stop it or choose \
        another path
        """)
    #expect(FileSystem.exists(path))
    device.shutDown()
    let file = try directory.makeFile("file", [1])
    let other = #expect(throws: DeviceError.self) {
      try ConsoleDevice(name: "console1", options: ConsoleOptions(.socket(path: file)))
    }
    #expect(
      other?.description == """
        cannot listen on \(file) for console1: a file is in the way; remove it or choose another path
        """)
  }

  /// Reads until all that the guest has printed is either here or counted as lost.
  private func readRest(
    of count: Int, _ bed: ConsoleBed, from client: borrowing FileDescriptor
  ) throws -> [UInt8] {
    func lost() -> Int { Int(bed.device.losses.output.load(ordering: .relaxed)) }
    var received: [UInt8] = []
    let isAll = try eventually(within: soon) {
      received += try readBytes(65_536, from: client, within: .milliseconds(20))
      return received.count + lost() >= count
    }
    #expect(isAll, "\(received.count) of \(count) bytes came, \(lost()) were lost")
    #expect(received.count + lost() == count)
    return received
  }

  private func close(_ client: consuming FileDescriptor) {}

  /// Sends what a non-blocking client can send in a while. - Returns: how many bytes.
  private func sendUntilFull(
    _ bytes: [UInt8], to client: borrowing FileDescriptor
  ) throws -> Int {
    var sent = 0
    while sent < bytes.count {
      let found = try Poll.wait(for: .writable, on: client, timeout: .milliseconds(200))
      guard !found.isEmpty else { break }
      sent += try client.write(Array(bytes[sent..<min(sent + 50_000, bytes.count)]))
    }
    return sent
  }
}
