// SPDX-License-Identifier: Apache-2.0
//
// The program while nobody takes what it prints: it serves, it ends, and it says later what it has to say.

import Foundation
import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VhostUserTesting

@testable import lgdev

/// Ends this process, as one that hangs, in good time.
private func endSoon() { alarm(UInt32(soon.components.seconds)) }

@Suite(.timeLimit(.minutes(20))) struct StuckStreamTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func serve(_ errors: borrowing StuckStream) throws -> Program {
    let program = try Program(
      ["serve", "--socket-path", "s", "--rng", "--pidfile", "pid"], in: directory,
      errors: errors.descriptor)
    #expect(try eventually { try directory.names.contains("pid") })
    return program
  }

  @Test(arguments: StuckStream.Kind.allCases)
  func `a signal ends it and nothing is left behind`(kind: StuckStream.Kind) throws {
    let errors = try StuckStream(kind)
    let program = try serve(errors)
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
    #expect(try directory.names == [])
  }

  @Test(arguments: StuckStream.Kind.allCases)
  func `a front-end that is at fault again and again stops nobody, and all is told later`(
    kind: StuckStream.Kind
  ) throws {
    let errors = try StuckStream(kind)
    let program = try serve(errors)
    for _ in 0..<20 {
      let hostile = try RawFrontEnd(connectingTo: "\(directory.path)/s")
      try hostile.send(bytes: [UInt8](repeating: 0xff, count: 12))
      try hostile.waitForClose()
    }
    let frontEnd = try FrontEnd(connectingTo: "\(directory.path)/s")
    _ = try frontEnd.bringUp()
    let said = try errors.read { $0.contains("error: rng0: connection dropped: ") }
    #expect(said.hasPrefix("rng0: listening on s (getrandom)"), "\(said)")
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
  }

  @Test(arguments: StuckStream.Kind.allCases)
  func `a wrong command line and a wrong file end it with their code`(
    kind: StuckStream.Kind
  ) throws {
    let wrong = (0..<500).map { "  g\($0): {kernal: x}\n" }.joined()
    try Data(("guests:\n" + wrong).utf8).write(
      to: URL(fileURLWithPath: "\(directory.path)/fleet.yaml"))
    for arguments in [["serve", "--bloc", "x"], ["config", "check", "fleet.yaml"]] {
      let errors = try StuckStream(kind)
      let program = try Program(arguments, in: directory, errors: errors.descriptor)
      #expect(try program.exitCode() == 2)
    }
  }

  @Test(arguments: StuckStream.Kind.allCases)
  func `the last resort ends the process`(kind: StuckStream.Kind) async throws {
    try directory.makeFile("socket", size: 0)
    await #expect(processExitsWith: .exitCode(1)) {
      [path = directory.path as String, kind = kind as StuckStream.Kind] in
      endSoon()
      let errors = try StuckStream(kind)
      guard dup2(errors.descriptor, 2) == 2 else { return }
      for number in 0..<1000 { StandardError.print("line \(number)") }
      let resort = LastResort(removeSockets: { try? FileSystem.remove("\(path)/socket") })
      resort.pidFile.withLock { $0 = try? PidFile("\(path)/pid") }
      guard FileSystem.exists("\(path)/pid") else { return }
      resort.end()
    }
    #expect(try directory.names == [])
  }

  @Test func `the last resort ends the process where the host's storage keeps it from cleaning up`()
    async
  {
    let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent])
    {
      endSoon()
      LastResort(removeSockets: { while true { pause(.seconds(1)) } }).end()
    }
    let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(said.contains("its requests in flight do not finish; ending without them"))
  }

  @Test(arguments: [true, false])
  func `what a guest prints early keeps nobody waiting`(hasLabel: Bool) async throws {
    await #expect(processExitsWith: .exitCode(7)) { [hasLabel = hasLabel as Bool] in
      endSoon()
      let output = try StuckStream(.pipe)
      guard dup2(output.descriptor, 1) == 1 else { return }
      let early = EarlyOutput(console: nil, label: hasLabel ? "web" : nil)
      for _ in 0..<100 { early.print([UInt8](repeating: UInt8(ascii: "x"), count: 1000)) }
      early.finish()
      exit(7)
    }
  }

  @Test func `an open file that somebody else has made non-blocking loses nothing`() throws {
    let errors = try StuckStream(.pipe)
    try errors.setNonBlocking(true)
    let program = try serve(errors)
    let line = "rng0: listening on s (getrandom)\n"
    #expect(try errors.read { $0.contains("\n") } == line)
    program.send(SIGTERM)
    #expect(try program.exitCode() == 0)
  }
}
