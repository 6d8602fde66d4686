// SPDX-License-Identifier: Apache-2.0
//
// The program on a host that lacks what others have: no /proc, and a limit of file sizes.

import Foundation
import Glibc
import HostTesting
import Linux
import Testing
import VhostUserTesting

@Suite(.timeLimit(.minutes(20))) struct BareHostTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Runs a shell's line in which "$0" is the program. - Returns: its code and its error lines.
  private func run(
    _ line: String, in wrapper: [String] = []
  ) throws -> (code: Int32, output: String, errors: [String]) {
    let shell = Foundation.Process()
    let output = Foundation.Pipe()
    let errors = Foundation.Pipe()
    shell.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    shell.arguments = wrapper + ["/bin/sh", "-c", line, Program.path]
    shell.currentDirectoryURL = URL(fileURLWithPath: directory.path)
    shell.standardOutput = output
    shell.standardError = errors
    shell.standardInput = FileHandle.nullDevice
    try shell.run()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    shell.waitUntilExit()
    return (
      shell.terminationReason == .exit
        ? shell.terminationStatus : 128 + shell.terminationStatus, text,
      said.split(separator: "\n").map(String.init)
    )
  }

  /// A mount namespace whose /proc is empty.
  private static let noProc = ["unshare", "--user", "--map-root-user", "--mount"]
  private static let emptyProc = "mount -t tmpfs none /proc && exec \"$0\" "

  @Test(arguments: [
    ("--version", 0, ""),
    ("serve --bloc x", 2, "Unknown option '--bloc'"),
    ("serve --socket-path s --block path=disk", 1, "there is no /proc to open it again with"),
    ("stats", 1, "there is no /proc to find daemons in; mount it"),
    ("top", 1, "there is no /proc to find daemons in; mount it"),
  ])
  func `without /proc the command line is as it was given`(
    arguments: String, code: Int32, message: String
  ) throws {
    try directory.makeFile("disk", size: 1 << 20)
    let result = try run(Self.emptyProc + arguments, in: Self.noProc)
    #expect(result.code == code, "\(result)")
    if message.isEmpty {
      #expect(result.output.hasPrefix("lgdev 0"), "\(result)")
      #expect(result.errors == [])
    } else {
      #expect(result.errors.count == 1 && result.errors[0].contains(message), "\(result)")
      #expect(result.output == "")
    }
  }

  @Test func `with a limit of file sizes it serves, and says what cannot be written`() throws {
    try directory.makeFile("disk", size: 1 << 20)
    // In blocks of 512 bytes.
    let program = Foundation.Process()
    program.executableURL = URL(fileURLWithPath: "/bin/sh")
    program.arguments = [
      "-c", "ulimit -f 8; exec \"$0\" serve --socket-dir . --rng --block path=disk --pidfile pid",
      Program.path,
    ]
    program.currentDirectoryURL = URL(fileURLWithPath: directory.path)
    let errors = Foundation.Pipe()
    program.standardError = errors
    try program.run()
    #expect(
      try eventually { try !program.isRunning || directory.names.contains("pid") })
    let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/rng0.sock")
    _ = try frontEnd.bringUp()
    program.terminate()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    program.waitUntilExit()
    #expect(program.terminationReason == .exit && program.terminationStatus == 0)
    #expect(said.contains("block0: disk: writes behind its first 4 KiB fail"), "\(said)")
    #expect(said.contains("'lgdev top' will not see this process: the limit of file"), "\(said)")
  }

  @Test func `where no file can be written at all, it says which and why`() throws {
    let result = try run("ulimit -f 0; exec \"$0\" serve --socket-path s --rng --pidfile pid")
    #expect(result.code == 1, "\(result)")
    #expect(result.errors.last == "lgdev: --pidfile pid: File too large", "\(result)")
    #expect(try !directory.names.contains("s"))
  }
}
