// SPDX-License-Identifier: Apache-2.0
//
// `lgdev stats` and `lgdev top` on running daemons, as a user runs them. Each names the daemon that it means, since
// tests run beside each other.

import Foundation
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VirtioRing
import VirtioTesting

@Suite(.timeLimit(.minutes(20))) struct StatsTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// What `stats --json` says of the queues of a daemon.
  private func queues(of program: Program) throws -> [[String: Any]] {
    let result = try Program.run(["stats", "--json", "\(program.processID)"], in: directory)
    #expect(result.errors == [])
    try #require(result.code == 0)
    let report = try #require(
      JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    #expect(report["format"] as? Int == 1)
    #expect((report["unreadable"] as? [Any])?.isEmpty == true)
    let daemons = try #require(report["daemons"] as? [[String: Any]])
    try #require(daemons.count == 1)
    #expect(daemons[0]["process"] as? Int == Int(program.processID))
    #expect((daemons[0]["program"] as? String)?.hasPrefix("lgdev ") == true)
    return try #require(daemons[0]["queues"] as? [[String: Any]])
  }

  /// Starts a disk of 1 MiB that listens on `s`.
  private func serveDisk() throws -> Program {
    try directory.makeFile("disk.img", size: 1 << 20)
    let program = try Program(
      ["serve", "--socket-path", "s", "--block", "path=disk.img"], in: directory)
    try program.awaitListening()
    return program
  }

  @Test func `stats --json says exactly what a driver did`() throws {
    let program = try serveDisk()
    let idle = try queues(of: program)
    try #require(idle.count == 16)
    #expect(idle[0]["state"] as? String == "stopped")
    #expect(idle[0]["oldest_in_flight_ns"] is NSNull)

    var writer = try DiskWriter(
      connectingTo: "\(directory.path)/s", depth: 8, byteCount: 20 * DiskWriter.writeSize)
    while writer.written.count < 20 { try writer.turn() }
    let queue = try #require(try queues(of: program).first)
    #expect(queue["device"] as? String == "block0")
    #expect(queue["type"] as? String == "block")
    #expect(queue["transport"] as? String == "vhost-user")
    #expect(queue["guest"] as? String == "")
    #expect(queue["index"] as? Int == 0)
    #expect(queue["name"] as? String == "requests")
    #expect(queue["size"] as? Int == 128)
    #expect(queue["writes"] as? String == "flushed")
    #expect(queue["state"] as? String == "running")
    #expect(queue["features"] as? [String] == ["version_1"])
    #expect(queue["starts"] as? Int == 1)
    #expect(queue["chains"] as? Int == 20)
    #expect(queue["bytes_from_guest"] as? Int == 20 * DiskWriter.writeSize)
    #expect(queue["bytes_to_guest"] as? Int == 0)
    #expect(queue["errors"] as? Int == 0)
    #expect(queue["dropped"] as? Int == 0)
    #expect(queue["faults"] as? Int == 0)
    #expect(queue["in_flight"] as? Int == 0)
    #expect(queue["kicks"] is Int)
    #expect(queue["calls"] is Int)
    let service = try #require(queue["service"] as? [String: Any])
    #expect(service["count"] as? Int == 20)
    let times = try ["p50_ns", "p90_ns", "p99_ns", "max_ns"].map {
      try #require(service[$0] as? Int)
    }
    #expect(times == times.sorted())
    #expect(times[0] > 0)
  }

  @Test func `a request that hangs is in flight, and its age grows`() throws {
    let path = "\(directory.path)/entropy"
    // SAFETY: the path is a terminated string during the call.
    #expect(unsafe mkfifo(path, 0o600) == 0)
    // Both ends: the daemon's end opens at once and never sees the end.
    let source = try FileDescriptor.open(path, .readWrite)
    let program = try Program(
      ["serve", "--socket-path", "s", "--rng=source=entropy"], in: directory)
    try program.awaitListening()
    let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s")
    var ring = try frontEnd.bringUp([.version1])
    let buffer = frontEnd.space.take(64)
    let isOffered = ring.offer([.writable(buffer, 64)], token: 1)
    #expect(isOffered)
    func oldest() throws -> Int? { try queues(of: program)[0]["oldest_in_flight_ns"] as? Int }
    var age: Int?
    while age == nil {
      try #require(program.isRunning)
      age = try oldest()
    }
    #expect(try queues(of: program)[0]["in_flight"] as? Int == 1)
    #expect(try #require(try oldest()) > #require(age))
    // In words, too: the daemon's row says one in flight.
    let words = try Program.run(["stats", "\(program.processID)"], in: directory)
    #expect(words.output.contains("rng0 "))

    try source.writeAll([UInt8](repeating: 7, count: 64))
    let token = try ring.collect().token
    #expect(token == 1)
    let queue = try queues(of: program)[0]
    #expect(queue["in_flight"] as? Int == 0)
    #expect(queue["chains"] as? Int == 1)
  }

  @Test func `a killed daemon leaves nothing that is taken for one`() throws {
    let program = try serveDisk()
    #expect(try queues(of: program).count == 16)
    program.send(SIGKILL)
    _ = try program.exitCode()
    let result = try Program.run(["stats", "\(program.processID)"], in: directory)
    #expect(result.code == 1)
    #expect(result.errors == ["lgdev: there is no process \(program.processID)"])
  }

  @Test func `a daemon that has ended and is not waited for is gone`() throws {
    let parent = Process()
    let output = Foundation.Pipe()
    parent.executableURL = URL(fileURLWithPath: "/bin/sh")
    parent.arguments = ["-c", "true & echo $!; exec sleep 600"]
    parent.standardOutput = output
    try parent.run()
    defer {
      kill(parent.processIdentifier, SIGKILL)
      parent.waitUntilExit()
    }
    let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    let child = try #require(Int32(line.trimmingCharacters(in: .newlines)))
    let isDead = try eventually {
      try String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8).contains(") Z ")
    }
    #expect(isDead)
    let result = try Program.run(["stats", "\(child)"], in: directory)
    #expect(result.code == 1)
    #expect(result.errors == ["lgdev: there is no process \(child)"])
  }

  @Test func `a process that is no daemon, or shows nonsense, is told in one line`() throws {
    let plain = try Sleeper()
    let result = try Program.run(["stats", "\(plain.processID)"], in: directory)
    #expect(result.code == 1)
    #expect(result.output == "")
    #expect(
      result.errors == [
        "lgdev: process \(plain.processID) shows no counters; it is no lgdev daemon"
      ])

    // A memory file of the right name with the wrong content.
    let liar = try Memfd.create(name: "lgdev-stats", size: 100_000)
    let unsealed = try Sleeper(input: liar.raw)
    var lines = try Program.run(["top", "\(unsealed.processID)"], in: directory).errors
    #expect(
      lines == [
        "lgdev: process \(unsealed.processID): its statistics are in no sealed memory file"
      ])
    try liar.addSeals(.shrink)
    lines = try Program.run(["stats", "--json", "\(unsealed.processID)"], in: directory).errors
    #expect(lines == ["lgdev: process \(unsealed.processID): its statistics are damaged"])
  }

  @Test func `who may not look at a process is told so`() throws {
    // The first process is root's. Who is root asks as nobody; the program must be where nobody finds it.
    let program = "\(directory.path)/lgdev"
    let asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    // Copied there by another process: a file that this one writes is also open in each program that another
    // test starts meanwhile, and cannot be run until that has become another one.
    let copy = ["sh", "-c", "cp \"$0\" \"$1\" && shift && exec \"$@\"", Program.path, program]
    let command = copy + (getuid() == 0 ? asNobody : []) + [program, "stats", "1"]
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let errors = Pipe()
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(text == "lgdev: no right to look at process 1; do it as its user or as root\n")
    #expect(process.terminationStatus == 1)
  }

  // MARK: top

  @Test func `top prints a table for each interval where there is no terminal`() throws {
    let program = try serveDisk()
    let result = try Program.run(
      ["top", "--interval", "0.1", "--count", "3", "\(program.processID)"], in: directory)
    #expect(result.code == 0)
    #expect(result.errors == [])
    let tables = result.output.components(separatedBy: "\n\n")
    #expect(tables.count == 3)
    for table in tables {
      let lines = table.split(separator: "\n")
      try #require(lines.count == 3)
      #expect(lines[0].hasPrefix("DEVICE"))
      #expect(lines[1].hasPrefix("process \(program.processID): lgdev "))
      #expect(lines[2].hasPrefix("block0"))
    }
    #expect(!result.output.contains("\u{1b}"))
  }

  @Test(arguments: [["--interval", "0"], ["--interval", "nan"], ["--count", "0"], ["x"]])
  func `top refuses what makes no sense`(arguments: [String]) throws {
    let result = try Program.run(["top"] + arguments, in: directory)
    #expect(result.code == 2)
    #expect(result.errors.count == 1)
  }

  /// Ways out of the live view.
  enum Leaving: CaseIterable {
    case q, controlC, terminate, hangup, daemonEnds, count
  }

  @Test(arguments: Leaving.allCases)
  func `top on a terminal is drawn again and again, and gives the terminal back`(
    leaving: Leaving
  ) throws {
    let daemon = try serveDisk()
    let terminal = try PseudoTerminal()
    let screen = try FileDescriptor.open(terminal.path, [.readWrite, .noControllingTerminal])
    try terminal.terminal.setSize(TerminalSize(columns: 80, rows: 24))
    #expect(try terminal.terminal.settings().echoes)
    // A program inherits what is blocked, and the threads of tests block much.
    let mask = SignalSet().restore()
    defer { mask.restore() }
    let options = leaving == .count ? ["--count", "3"] : []
    let top = try Program(
      ["top", "--interval", "0.1"] + options + ["\(daemon.processID)"], in: directory,
      terminal: screen.raw, screen: screen.raw,
      environment: ["TERM": "xterm", "NO_COLOR": leaving == .count ? "1" : ""])
    var text = ""
    func readSome() throws {
      let found = try Poll.wait(
        for: .readable, on: terminal.descriptor, timeout: .milliseconds(20))
      if !found.isEmpty {
        text += String(decoding: try terminal.descriptor.read(upTo: 65536), as: UTF8.self)
      }
    }
    func pages() -> Int { text.components(separatedBy: "\u{1b}[Hlgdev top: 1 queue").count - 1 }
    let isDrawn = try eventually {
      try readSome()
      return pages() >= 3
    }
    #expect(isDrawn)
    #expect(text.contains("block0"))
    if leaving == .count {
      #expect(!text.contains("\u{1b}[7m"))
    } else {
      #expect(text.contains("\u{1b}[7m"))
      #expect(try !terminal.terminal.settings().echoes)
    }

    switch leaving {
    case .q: try terminal.descriptor.writeAll(Array("xq".utf8))
    case .controlC: try terminal.descriptor.writeAll([3])
    case .terminate: top.send(SIGTERM)
    case .hangup: top.send(SIGHUP)
    case .daemonEnds: daemon.send(SIGTERM)
    case .count: break
    }
    let hasEnded = try eventually {
      try readSome()
      return !top.isRunning
    }
    #expect(hasEnded)
    #expect(try top.exitCode() == 0)
    #expect(try terminal.terminal.settings().echoes)
    // The kernel passes on what was written last when it finds the time.
    let lastWords = leaving == .daemonEnds ? "there is no process \(daemon.processID)" : "\n"
    let isWhole = try eventually {
      try readSome()
      return text.utf8.last == 10 && text.utf8.contains(lastWords.utf8)
    }
    #expect(isWhole, "\(text.suffix(200))")
  }
}

/// A process that does nothing.
private final class Sleeper {
  private let process = Process()

  /// - Parameter input: a descriptor that becomes standard input.
  init(input: Int32? = nil) throws {
    process.executableURL = URL(fileURLWithPath: "/bin/sleep")
    process.arguments = ["600"]
    process.standardInput =
      input.map { FileHandle(fileDescriptor: $0, closeOnDealloc: false) } ?? FileHandle.nullDevice
    try process.run()
  }

  deinit {
    kill(processID, SIGKILL)
    process.waitUntilExit()
  }

  var processID: Int32 { process.processIdentifier }
}
