// SPDX-License-Identifier: Apache-2.0
//
// The program with a console at a terminal, and with all four devices.

import Glibc
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VirtioRing
import VirtioTesting

@Suite(.timeLimit(.minutes(20))) struct ServeConsoleTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Runs with standard input at a terminal until `end` ends it.
  private func runAtTerminal(
    exitCode: Int32 = 0, leaving names: [String] = [],
    _ end: (Program, borrowing PseudoTerminal) throws -> Void
  ) throws {
    let terminal = try PseudoTerminal()
    let input = try FileDescriptor.open(terminal.path, [.readWrite, .noControllingTerminal])
    #expect(try terminal.terminal.settings().echoes)
    // A program inherits what is blocked, and the threads of tests block much.
    let mask = SignalSet().restore()
    defer { mask.restore() }
    let program = try Program(
      ["serve", "--socket-path", "s", "--console", "stdio"], in: directory, terminal: input.raw)
    try program.awaitListening()
    #expect(try !terminal.terminal.settings().echoes)
    try end(program, terminal)
    #expect(try program.exitCode() == exitCode)
    #expect(try terminal.terminal.settings().echoes)
    #expect(try directory.names == names)
  }

  @Test func `Ctrl-C three times ends a console at a terminal, which is as before`() throws {
    try runAtTerminal { _, terminal in try terminal.descriptor.writeAll([3, 3, 3]) }
  }

  @Test(arguments: [SIGTERM, SIGQUIT])
  func `a signal ends a console at a terminal, which is as before`(signal: Int32) throws {
    try runAtTerminal { program, _ in program.send(signal) }
  }

  @Test(arguments: [SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU, 34, 64])
  func `a signal that kills leaves the terminal as before`(signal: Int32) throws {
    try runAtTerminal(exitCode: 128 + signal, leaving: ["s"]) { program, _ in
      program.send(signal)
    }
  }

  @Test func `a stop from elsewhere does not leave the terminal raw`() throws {
    try runAtTerminal { program, _ in
      program.send(SIGTSTP)
      // It is still there to do this.
      program.send(SIGTERM)
    }
  }

  @Test func `what a terminal's user types reaches the guest`() throws {
    try runAtTerminal { program, terminal in
      let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s")
      var ring = try frontEnd.bringUp()
      let address = frontEnd.space.take(16)
      let isOffered = ring.offer([.writable(address, 16)])
      #expect(isOffered)
      try terminal.descriptor.writeAll(Array("ls\r".utf8))
      let used = try ring.collect()
      #expect(used.written > 0)
      #expect(frontEnd.memory.memory.bytes(at: address, count: 1) == Array("l".utf8))
      program.send(SIGTERM)
    }
  }

  @Test func `one process serves all four devices`() throws {
    try directory.makeFile("disk.img", size: 1 << 20)
    let pair = try UnixSocket.pair(messages: true)
    let program = try Program(
      [
        "serve", "--socket-dir", ".", "--block", "path=disk.img,ro,engine=threads,cache=none",
        "--net", "fd=3,mac=52:54:00:12:34:56,mtu=9000", "--console", "socket:line,size=80x25",
        "--console", "file:log,id=logger", "--console", "pty:terminal", "--rng",
      ], in: directory, input: pair.first.raw)
    try program.awaitListening(6)
    let expected = [
      "block0: listening on ./block0.sock (disk.img, 1 MiB, threads, cache=none, read-only)",
      "net0: listening on ./net0.sock (descriptor 3, mac 52:54:00:12:34:56, mtu 9000)",
      "console0: listening on ./console0.sock (socket line, 80x25)",
      "logger: listening on ./logger.sock (file log)",
      "console2: listening on ./console2.sock (pty terminal)",
      "rng0: listening on ./rng0.sock (getrandom)",
    ]
    #expect(try program.errorLines == expected)
    for (name, features) in [("block0", 1 << 5), ("net0", 1 << 5 | 1 << 3), ("console0", 1 << 0)] {
      let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/\(name).sock")
      try frontEnd.negotiate(.allRing)
      #expect(frontEnd.offeredFeatures.rawValue & UInt64(features) == UInt64(features))
    }
    #expect(try UnixSocket.state(of: "\(directory.path)/line") == .live)
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
    #expect(try directory.names == ["disk.img", "log"])
  }
}
