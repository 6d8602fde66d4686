// SPDX-License-Identifier: Apache-2.0
//
// The built program as its users meet it: what it makes, says and removes, and a front-end that gets its
// requests served.

import Glibc
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VirtioTesting

/// Reads 32 random bytes through a front-end.
private func readRandom(_ frontEnd: FrontEnd) throws -> [UInt8] {
  var ring = try frontEnd.bringUp()
  let address = frontEnd.space.take(32)
  let isOffered = ring.offer([.writable(address, 32)])
  #expect(isOffered)
  let used = try ring.collect()
  #expect(used.written == 32)
  return frontEnd.memory.memory.bytes(at: address, count: 32)
}

@Suite(.timeLimit(.minutes(20))) struct ServeTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT])
  func `a signal ends it, without giving up, and nothing is left behind`(signal: Int32) throws {
    try directory.makeFile("disk.img", size: 64 << 20)
    let program = try Program(
      ["serve", "--socket-dir", ".", "--block", "path=disk.img", "--rng", "--pidfile", "pid"],
      in: directory)
    try program.awaitListening(2)
    #expect(try directory.names == ["block0.sock", "disk.img", "pid", "rng0.sock"])
    #expect(try directory.text("pid") == "\(program.processID)\n")
    let lines = try program.errorLines
    #expect(lines[0].hasPrefix("block0: listening on ./block0.sock (disk.img, 64 MiB, "))
    #expect(lines[0].hasSuffix(", cache=writeback)"))
    #expect(lines[1] == "rng0: listening on ./rng0.sock (getrandom)")

    let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/rng0.sock")
    #expect(try readRandom(frontEnd).contains { $0 != 0 })

    program.send(signal)
    #expect(try program.exitCode() == 0)
    #expect(try directory.names == ["disk.img"])
  }

  @Test func `it serves the next front-end when one has gone`() throws {
    let program = try Program(["serve", "--socket-path", "s", "--rng"], in: directory)
    try program.awaitListening()
    for _ in 0..<3 {
      let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s")
      #expect(try readRandom(frontEnd).contains { $0 != 0 })
    }
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
  }

  @Test func `with --once it ends when its front-end has gone`() throws {
    let program = try Program(["serve", "--socket-path", "s", "--rng", "--once"], in: directory)
    try program.awaitListening()
    do {
      let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s")
      #expect(try readRandom(frontEnd).contains { $0 != 0 })
    }
    #expect(try program.exitCode() == 0)
    #expect(try directory.names == [])
  }

  @Test func `it serves an inherited connection and ends with it`() throws {
    var pair = try UnixSocket.pair()
    let program = try Program(
      ["serve", "--fd", "3", "--rng"], in: directory, input: pair.first.raw)
    pair.first = try FileDescriptor.open("/dev/null", .readOnly)
    do {
      let frontEnd = try FrontEnd(RawFrontEnd(pair.second))
      #expect(try readRandom(frontEnd).contains { $0 != 0 })
    }
    #expect(try program.exitCode() == 0)
  }

  @Test func `it connects to a front-end that listens`() throws {
    let listener = try UnixSocket.listen("\(directory.path)/s")
    let program = try Program(["serve", "--connect", "s", "--rng"], in: directory)
    #expect(
      try Poll.wait(for: .readable, on: listener, timeout: soon).contains(.readable))
    guard let accepted = try UnixSocket.accept(on: listener) else {
      Issue.record("nobody connected")
      return
    }
    let frontEnd = try FrontEnd(RawFrontEnd(accepted))
    #expect(try readRandom(frontEnd).contains { $0 != 0 })
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
  }

  @Test func `it takes over what a killed one has left`() throws {
    let arguments = ["serve", "--socket-path", "s", "--rng", "--pidfile", "pid"]
    let killed = try Program(arguments, in: directory)
    try killed.awaitListening()
    killed.send(SIGKILL)
    _ = try killed.exitCode()
    #expect(try directory.names == ["pid", "s"])

    let program = try Program(arguments, in: directory)
    try program.awaitListening()
    #expect(try directory.text("pid") == "\(program.processID)\n")
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
    #expect(try directory.names == [])
  }

  @Test func `a pid file that somebody has put in the place of its own stays`() throws {
    let program = try Program(
      ["serve", "--socket-path", "s", "--rng", "--pidfile", "pid"], in: directory)
    try program.awaitListening()
    try FileSystem.remove("\(directory.path)/pid")
    try directory.makeFile("pid", size: 3)
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
    #expect(try directory.names == ["pid"])
  }

  @Test func `a pid file that vanishes before it is locked is made anew`() throws {
    for round in 0..<5 {
      let first = try Program(
        ["serve", "--socket-path", "a\(round)", "--rng", "--pidfile", "pid"], in: directory)
      try first.awaitListening()
      // The second begins while the first removes the file.
      first.send(SIGTERM)
      let second = try Program(
        ["serve", "--socket-path", "b\(round)", "--rng", "--pidfile", "pid"], in: directory)
      let code = try first.exitCode()
      #expect(code == 0)
      guard (try? second.awaitListening()) != nil else {
        // It came too early, and says so.
        #expect(try second.exitCode() == 1)
        continue
      }
      #expect(try directory.text("pid") == "\(second.processID)\n")
      second.send(SIGTERM)
      #expect(try second.exitCode() == 0)
    }
  }

  @Test func `sockets have the mode that was asked for`() throws {
    let program = try Program(
      ["serve", "--socket-dir", ".", "--rng", "--socket-mode", "0640"], in: directory)
    try program.awaitListening()
    #expect(try FileSystem.status(of: "\(directory.path)/rng0.sock").permissions == 0o640)
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
  }
}
