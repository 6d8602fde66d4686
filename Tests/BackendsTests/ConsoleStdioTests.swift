// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

/// Serialized: one terminal at a time can be raw in a process.
@Suite("A console on standard input and output", .serialized, .timeLimit(.minutes(20)))
struct ConsoleStdioTests {
  private func options(_ input: Int32, _ output: Int32) -> ConsoleOptions {
    ConsoleOptions(.stdio(input: input, output: output))
  }

  private func open(_ path: String) throws -> FileDescriptor {
    try FileDescriptor.open(path, [.readWrite, .noControllingTerminal])
  }

  private func close(_ terminal: consuming PseudoTerminal) {}

  // MARK: Pipes and files

  @Test("carries a session through pipes", arguments: QueueFormat.allCases)
  func pipes(format: QueueFormat) throws {
    let typed = try Linux.Pipe(nonBlocking: false)
    let shown = try Linux.Pipe(nonBlocking: false)
    let bed = try ConsoleBed(options(typed.reading.raw, shown.writing.raw), format)
    #expect(bed.device.hostPath == nil)
    try bed.say("login: ")
    #expect(try readText(7, from: shown.reading) == "login: ")
    try typed.writing.writeAll(Array("root\n".utf8))
    #expect(try bed.hearText(5) == "root\n")
  }

  @Test("carries 1 MiB each way unchanged and in order")
  func megabyte() throws {
    let typed = try Linux.Pipe(nonBlocking: false)
    let shown = try Linux.Pipe(nonBlocking: false)
    var options = options(typed.reading.raw, shown.writing.raw)
    options.patience = soon
    options.inputPatience = soon
    let bed = try ConsoleBed(options)
    let out = randomBytes(1 << 20, seed: 5)
    let reader = try WorkerThread.start(name: "reader", state: try shown.reading.duplicate()) {
      (shown: consuming FileDescriptor) in
      (try? readBytes(1 << 20, from: shown, within: soon)) ?? []
    }
    #expect(try bed.say(out, pieceSize: 4000, within: soon) == out.count)
    #expect(reader.join() == out)
    let writer = try WorkerThread.start(name: "writer", state: try typed.writing.duplicate()) {
      (typed: consuming FileDescriptor) in
      _ = try? typed.writeAll(randomBytes(1 << 20, seed: 6))
    }
    let heard = try bed.hear(1 << 20, within: soon)
    writer.join()
    #expect(heard == randomBytes(1 << 20, seed: 6))
  }

  @Test("leaves the descriptors as they were: they are shared with others")
  func sharedFlags() throws {
    let typed = try Linux.Pipe(nonBlocking: false)
    let shown = try UnixSocket.pair()
    let bed = try ConsoleBed(options(typed.reading.raw, shown.first.raw))
    #expect(fcntl(typed.reading.raw, F_GETFL) & O_NONBLOCK == 0)
    try bed.say("x")
    #expect(try readText(1, from: shown.second) == "x")
    bed.end()
    #expect(fcntl(shown.first.raw, F_GETFL) & O_NONBLOCK == 0)
  }

  @Test("goes on without input when it ends, and does not spin")
  func endOfInput() throws {
    let shown = try Linux.Pipe(nonBlocking: false)
    let null = try FileDescriptor.open("/dev/null")
    let bed = try ConsoleBed(options(null.raw, shown.writing.raw), name: "stdio-idle")
    pause(.milliseconds(20))
    let isIdle = try isAsleep(threads: "stdio-idle") { () throws in
      #expect(try bed.hear(1, within: .milliseconds(200)).isEmpty)
    }
    #expect(isIdle)
    try bed.say("still here")
    #expect(try readText(10, from: shown.reading) == "still here")
  }

  @Test("goes on when nobody can read its output any more, and says so")
  func brokenOutput() throws {
    let log = LineCollector()
    let null = try FileDescriptor.open("/dev/null")
    let typed = try Linux.Pipe(nonBlocking: false)
    var shown = try Linux.Pipe(nonBlocking: false)
    var options = options(typed.reading.raw, shown.writing.raw)
    options.onTrouble = log.hook
    let bed = try ConsoleBed(options)
    shown.reading = try null.duplicate()
    #expect(try bed.say(randomBytes(300_000)) == 300_000)
    try typed.writing.writeAll([1, 2])
    #expect(try bed.hear(2) == [1, 2])
    #expect(log.lines == ["console0: cannot write to standard output: Broken pipe"])
  }

  @Test("writes into a file behind what is there")
  func regularFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.makeFile("out", Array("before\n".utf8))
    let file = try FileDescriptor.open(path, .writeOnly)
    _ = lseek(file.raw, 0, SEEK_END)
    let null = try FileDescriptor.open("/dev/null")
    let bed = try ConsoleBed(options(null.raw, file.raw))
    try bed.say("one\n")
    bed.end()
    let text = try FileDescriptor.open(path).read(upTo: 100)
    #expect(String(decoding: text, as: UTF8.self) == "before\none\n")
  }

  @Test("says which of the two is closed")
  func closedInput() throws {
    let null = try FileDescriptor.open("/dev/null", .readWrite)
    for (input, output, name) in [(9999, null.raw, "input"), (null.raw, 9999, "output")] {
      let error = #expect(throws: DeviceError.self) {
        try ConsoleDevice(name: "console0", options: options(input, output))
      }
      #expect(error?.description == "cannot use standard \(name) as console0: Bad file descriptor")
    }
  }

  // MARK: A terminal

  @Test("makes its terminal raw, and gives it back as it was")
  func rawMode() throws {
    let user = try PseudoTerminal()
    let terminal = try open(user.path)
    let bed = try ConsoleBed(options(terminal.raw, terminal.raw))
    #expect(try !user.terminal.settings().echoes)
    _ = try user.descriptor.write([3, 26, 17, 13])
    #expect(try bed.hear(4) == [3, 26, 17, 13])
    try bed.say("one\r\ntwo")
    #expect(try readText(9, from: user.descriptor) == "one\r\r\ntwo")
    bed.end()
    #expect(try user.terminal.settings().echoes)
    // And again, which shows that nothing is left behind.
    let again = try ConsoleBed(options(terminal.raw, terminal.raw))
    #expect(try !user.terminal.settings().echoes)
    again.end()
    #expect(try user.terminal.settings().echoes)
  }

  @Test("gives its terminal back when it is dropped")
  func dropped() throws {
    let user = try PseudoTerminal()
    let terminal = try open(user.path)
    do {
      let device = try ConsoleDevice(
        name: "console0", options: options(terminal.raw, terminal.raw))
      #expect(device.hostPath == nil)
      #expect(try !user.terminal.settings().echoes)
    }
    #expect(try user.terminal.settings().echoes)
  }

  @Test("tells the guest the terminal's size, and a new one when asked to look")
  func resize() throws {
    let user = try PseudoTerminal()
    try user.terminal.setSize(TerminalSize(columns: 80, rows: 24))
    let terminal = try open(user.path)
    let device = try ConsoleDevice(name: "console0", options: options(terminal.raw, terminal.raw))
    let changes = LineCollector()
    device.configurationChange.observe { changes.hook("changed") }
    #expect(device.configuration().prefix(4) == [80, 0, 24, 0])
    try user.terminal.setSize(TerminalSize(columns: 132, rows: 43))
    device.hostResized()
    device.hostResized()
    #expect(device.configuration().prefix(4) == [132, 0, 43, 0])
    #expect(changes.lines.count == 1)
    device.shutDown()
  }

  @Test("ends its input when the terminal goes away, and does not spin")
  func hangUp() throws {
    let user = try PseudoTerminal()
    let terminal = try open(user.path)
    let bed = try ConsoleBed(options(terminal.raw, terminal.raw), name: "hung-up")
    close(user)
    #expect(try bed.say(randomBytes(200_000)) == 200_000)
    pause(.milliseconds(20))
    #expect(try isAsleep(threads: "hung-up"))
  }

  /// How a process can end without shutting its console down.
  enum Ending: String, CaseIterable, Codable, Sendable {
    case exit, abort, trap, segmentation
  }

  @Test("gives its terminal back however the process ends", arguments: Ending.allCases)
  func processEnds(ending: Ending) async throws {
    let user = try PseudoTerminal()
    let condition: ExitTest.Condition =
      switch ending {
      case .exit: .exitCode(7)
      case .abort: .signal(SIGABRT)
      case .trap: .signal(SIGILL)
      case .segmentation: .signal(SIGSEGV)
      }
    await #expect(processExitsWith: condition) {
      [path = user.path as String, ending = ending as Ending] in
      let terminal = try FileDescriptor.open(path, [.readWrite, .noControllingTerminal])
      let device = try ConsoleDevice(
        name: "console0",
        options: ConsoleOptions(.stdio(input: terminal.raw, output: terminal.raw)))
      guard try !Terminal(terminal.raw).settings().echoes, device.hostPath == nil else { return }
      switch ending {
      case .exit: Glibc.exit(7)
      case .abort: Glibc.abort()
      case .trap: preconditionFailure("on purpose")
      case .segmentation: raise(SIGSEGV)
      }
      withExtendedLifetime(device) {}
    }
    #expect(try user.terminal.settings().echoes)
  }

  // MARK: The way out

  @Test("three Ctrl-C within a second are the way out, and reach the guest as well")
  func escape() throws {
    let user = try PseudoTerminal()
    let terminal = try open(user.path)
    var options = options(terminal.raw, terminal.raw)
    let escapes = LineCollector()
    options.onEscape = { escapes.hook("escape") }
    let bed = try ConsoleBed(options)
    // On a machine that is too busy for three within a second they are more.
    for press in 0..<100 where escapes.lines.isEmpty {
      _ = try user.descriptor.write([3])
      #expect(try bed.hear(1) == [3])
      if press < 2 { #expect(escapes.lines.isEmpty) }
    }
    #expect(escapes.lines.count == 1)
  }

  @Test("the way out is there while no guest runs")
  func escapeWithoutGuest() throws {
    let user = try PseudoTerminal()
    let terminal = try open(user.path)
    var options = options(terminal.raw, terminal.raw)
    let escapes = LineCollector()
    options.onEscape = { escapes.hook("escape") }
    let device = try ConsoleDevice(name: "console0", options: options)
    let isEscape = try eventually {
      _ = try user.descriptor.write([3])
      pause(.milliseconds(20))
      return !escapes.lines.isEmpty
    }
    #expect(isEscape)
    device.shutDown()
  }

  @Test("the way out is there even if the guest is stuck and all buffers are full")
  func escapeWithStuckGuest() throws {
    let typed = try Linux.Pipe(nonBlocking: true)
    let null = try FileDescriptor.open("/dev/null", .writeOnly)
    var options = options(typed.reading.raw, null.raw)
    let escapes = LineCollector()
    options.onEscape = { escapes.hook("escape") }
    let bed = try ConsoleBed(options)
    // The guest gives no buffers. Input is held back first, then thrown away.
    let bytes = [UInt8](repeating: 65, count: 1000)
    var written = 0
    let isThrownAway = try eventually {
      while try Poll.wait(for: .writable, on: typed.writing, timeout: .zero) == .writable {
        written += try typed.writing.write(bytes)
      }
      return bed.device.losses.input.load(ordering: .relaxed) > 0
    }
    #expect(isThrownAway)
    for _ in 0..<100 where escapes.lines.isEmpty {
      // A key that comes with what was typed before is none.
      let isRead = try eventually {
        try Poll.wait(for: .readable, on: typed.reading, timeout: .zero).isEmpty
      }
      #expect(isRead)
      pause(.milliseconds(50))
      let lost = bed.device.losses.input.load(ordering: .relaxed)
      written += try typed.writing.write([3])
      #expect(eventually { bed.device.losses.input.load(ordering: .relaxed) > lost })
    }
    #expect(eventually { escapes.lines.count == 1 })
    // The guest comes to life: what was typed first is still there, and new input arrives again.
    let kept = written - Int(bed.device.losses.input.load(ordering: .relaxed))
    #expect(kept > 65536)
    #expect(try bed.hear(kept) == [UInt8](repeating: 65, count: kept))
    _ = try typed.writing.write([120])
    #expect(try bed.hear(1) == [120])
  }
}
