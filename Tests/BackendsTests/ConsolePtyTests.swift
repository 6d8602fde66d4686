// SPDX-License-Identifier: Apache-2.0

import Backends
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@Suite("A console as a pseudo-terminal", .timeLimit(.minutes(20)))
struct ConsolePtyTests {
  /// The path of a console's terminal.
  private func path(_ bed: ConsoleBed) throws -> String { try #require(bed.device.hostPath) }

  /// Opens a terminal as a program would that wants it.
  private func open(_ path: String) throws -> FileDescriptor {
    try FileDescriptor.open(path, [.readWrite, .noControllingTerminal])
  }

  private func close(_ terminal: consuming FileDescriptor) {}

  @Test("carries a session both ways, without an echo", arguments: QueueFormat.allCases)
  func session(format: QueueFormat) throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()), format)
    let terminal = try open(try path(bed))
    try bed.say("login:\r\n ")
    #expect(try readText(9, from: terminal) == "login:\r\n ")
    try terminal.writeAll([114, 3, 4, 13, 10, 0, 255])
    #expect(try bed.hear(7) == [114, 3, 4, 13, 10, 0, 255])
    #expect(try bed.hear(1, within: .milliseconds(50)).isEmpty)
    #expect(try readBytes(1, from: terminal, within: .milliseconds(50)).isEmpty)
  }

  @Test(
    "gives the guest each key at once, not only with the end of a line",
    arguments: QueueFormat.allCases)
  func keys(format: QueueFormat) throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()), format)
    let terminal = try open(try path(bed))
    for key in Array("ls -l\r".utf8) {
      // The next one is typed when this one is there.
      try terminal.writeAll([key])
      #expect(try bed.hear(1) == [key])
    }
  }

  @Test(
    "prints for a guest that looks again and again whether it has, and wants no calls",
    arguments: QueueFormat.allCases)
  func spinningGuest(format: QueueFormat) throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()), format)
    let terminal = try open(try path(bed))
    for number in 10..<30 {
      #expect(bed.transmit.offer(Array("line \(number)\n".utf8), token: UInt64(number)))
      var used: UsedChain?
      #expect(
        try eventually {
          used = try bed.transmit.collect()
          return used != nil
        })
      #expect(used?.token == UInt64(number))
      #expect(try readText(8, from: terminal) == "line \(number)\n")
    }
  }

  @Test("carries 1 MiB each way unchanged and in order")
  func megabyte() throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()))
    let terminal = try open(try path(bed))
    let out = randomBytes(1 << 20, seed: 3)
    let reader = try WorkerThread.start(name: "reader", state: try terminal.duplicate()) {
      (terminal: consuming FileDescriptor) in
      (try? readBytes(1 << 20, from: terminal, within: soon)) ?? []
    }
    #expect(try bed.say(out, pieceSize: 4000, within: soon) == out.count)
    #expect(reader.join() == out)
    let writer = try WorkerThread.start(name: "writer", state: try terminal.duplicate()) {
      (terminal: consuming FileDescriptor) in
      _ = try? terminal.writeAll(randomBytes(1 << 20, seed: 4))
    }
    let heard = try bed.hear(1 << 20, within: soon)
    writer.join()
    #expect(heard == randomBytes(1 << 20, seed: 4))
  }

  @Test("survives that its terminal is closed and opened again, without spinning meanwhile")
  func closedAndReopened() throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()), name: "pty-idle")
    for round in 0..<3 {
      let terminal = try open(try path(bed))
      try bed.say("round \(round)")
      #expect(try readText(7, from: terminal) == "round \(round)")
      try terminal.writeAll([UInt8(round)])
      #expect(try bed.hear(1) == [UInt8(round)])
      close(terminal)
      pause(.milliseconds(20))
      #expect(try isAsleep(threads: "pty-idle"))
    }
  }

  @Test("keeps the last output while nobody has it open, and never makes the guest wait")
  func absentReader() throws {
    var options = ConsoleOptions(.pty())
    options.bufferSize = 5000
    let bed = try ConsoleBed(options)
    let bytes = randomBytes(200_000)
    #expect(try bed.say(bytes) == bytes.count)
    #expect(eventually { bed.device.losses.output.load(ordering: .relaxed) == 195_000 })
    let terminal = try open(try path(bed))
    #expect(try readBytes(5000, from: terminal) == Array(bytes.suffix(5000)))
    try bed.say("complete")
    #expect(try readText(8, from: terminal) == "complete")
    // The same after it was open. That it was closed is known when output is lost.
    close(terminal)
    let hasLost = try eventually { () throws in
      #expect(try bed.say(randomBytes(1000)) == 1000)
      return bed.device.losses.output.load(ordering: .relaxed) > 195_000
    }
    #expect(hasLost)
    try bed.say("one for the next")
    let next = try open(try path(bed))
    var kept: [UInt8] = []
    let hasCome = try eventually { () throws in
      kept += try readBytes(6000, from: next, within: .milliseconds(10))
      return kept.suffix(16) == Array("one for the next".utf8)[...]
    }
    #expect(hasCome)
    #expect(kept.count >= 5000)
  }

  @Test("hears a program that opens, writes and closes at once")
  func quickWriter() throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()))
    for round: UInt8 in 0..<20 {
      let terminal = try open(try path(bed))
      try terminal.writeAll([round, 13])
      close(terminal)
      #expect(try bed.hear(2) == [round, 13])
    }
  }

  @Test("is raw again for the next program, whatever the last one made of it")
  func rawAgain() throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()))
    let first = try open(try path(bed))
    try bed.say("x")
    #expect(try readText(1, from: first) == "x")
    let raw = try Terminal(first.raw).settings()
    #expect(!raw.echoes)
    let master = try PseudoTerminal()
    try Terminal(first.raw).apply(try master.terminal.settings())
    #expect(try Terminal(first.raw).settings().echoes)
    close(first)
    // It is noticed that nobody has it open only while nobody has.
    let isRaw = try eventually {
      pause(.milliseconds(50))
      let second = try open(try path(bed))
      return try !Terminal(second.raw).settings().echoes
    }
    #expect(isRaw)
  }

  @Test("puts a link to its terminal where the user wants it, and takes it away at the end")
  func link() throws {
    let directory = try TemporaryDirectory()
    let link = directory.file("console")
    try FileSystem.makeSymbolicLink(link, to: "/dev/pts/left-behind")
    let bed = try ConsoleBed(ConsoleOptions(.pty(link: link)))
    #expect(try FileSystem.symbolicLinkTarget(link) == path(bed))
    let terminal = try open(link)
    try bed.say("hello")
    #expect(try readText(5, from: terminal) == "hello")
    bed.end()
    #expect(throws: Errno.invalidArgument) { try FileSystem.symbolicLinkTarget(directory.path) }
    #expect(throws: Errno.notFound) { try FileSystem.symbolicLinkTarget(link) }
  }

  @Test("leaves a link alone that was never a terminal's")
  func foreignLink() throws {
    let directory = try TemporaryDirectory()
    let link = directory.file("console")
    try FileSystem.makeSymbolicLink(link, to: "somewhere")
    let error = #expect(throws: DeviceError.self) {
      try ConsoleDevice(name: "console0", options: ConsoleOptions(.pty(link: link)))
    }
    #expect(error?.description.hasSuffix("a link to somewhere is there; remove it first") == true)
    #expect(try FileSystem.symbolicLinkTarget(link) == "somewhere")
  }

  @Test("refuses to put its link where a file is")
  func linkInTheWay() throws {
    let directory = try TemporaryDirectory()
    let file = try directory.makeFile("file", [1])
    let error = #expect(throws: DeviceError.self) {
      try ConsoleDevice(name: "console0", options: ConsoleOptions(.pty(link: file)))
    }
    #expect(
      error?.description
        == "cannot make the link \(file) for console0: a file that is no link is there; remove it first"
    )
    #expect(FileSystem.exists(file))
  }

  @Test("tells the guest the terminal's size, and a new one when it was changed")
  func resize() throws {
    let bed = try ConsoleBed(ConsoleOptions(.pty()))
    let changes = LineCollector()
    bed.device.configurationChange.observe { changes.hook("changed") }
    #expect(bed.device.configuration().prefix(4) == [0, 0, 0, 0])
    let terminal = try open(try path(bed))
    try Terminal(terminal.raw).setSize(TerminalSize(columns: 132, rows: 50))
    bed.device.hostResized()
    #expect(bed.device.configuration().prefix(4) == [132, 0, 50, 0])
    // Without anybody's asking, when something is typed.
    try Terminal(terminal.raw).setSize(TerminalSize(columns: 81, rows: 50))
    try terminal.writeAll([13])
    #expect(try bed.hear(1) == [13])
    #expect(bed.device.configuration().prefix(4) == [81, 0, 50, 0])
    #expect(changes.lines.count == 2)
    // And when nothing is.
    try Terminal(terminal.raw).setSize(TerminalSize(columns: 81, rows: 25))
    #expect(eventually { changes.lines.count == 3 })
    #expect(bed.device.configuration().prefix(4) == [81, 0, 25, 0])
  }

  @Test("keeps to the size that the user chose, and gives it to the terminal")
  func fixedSize() throws {
    var options = ConsoleOptions(.pty())
    options.size = TerminalSize(columns: 100, rows: 30)
    let bed = try ConsoleBed(options)
    let terminal = try open(try path(bed))
    #expect(try Terminal(terminal.raw).size() == TerminalSize(columns: 100, rows: 30))
    try Terminal(terminal.raw).setSize(TerminalSize(columns: 10, rows: 10))
    bed.device.hostResized()
    #expect(bed.device.size == TerminalSize(columns: 100, rows: 30))
  }
}
