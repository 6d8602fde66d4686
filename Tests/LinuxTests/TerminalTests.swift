// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct TerminalTests {
  @Test func whatIsWrittenAtOneEndIsReadAtTheOther() throws {
    let pty = try PseudoTerminal()
    #expect(pty.path.hasPrefix("/dev/pts/"))
    let other = try FileDescriptor.open(pty.path, [.readWrite, .noControllingTerminal])
    _ = try pty.terminal.makeRaw()
    try pty.descriptor.writeAll(Array("typed\r".utf8))
    #expect(try other.read(upTo: 100) == Array("typed\r".utf8))
    try other.writeAll(Array("shown\n".utf8))
    #expect(try pty.descriptor.read(upTo: 100) == Array("shown\n".utf8))
  }

  @Test func rawModeIsSetAndTakenBack() throws {
    let pty = try PseudoTerminal()
    let other = try FileDescriptor.open(pty.path, [.readWrite, .noControllingTerminal])
    let terminal = Terminal(other.raw)
    #expect(terminal.isTerminal)
    #expect(try terminal.settings().echoes)
    let before = try terminal.makeRaw()
    #expect(try !terminal.settings().echoes)
    try terminal.apply(before)
    #expect(try terminal.settings().echoes)
    // Cooked again: a line is held back until its end, a carriage return becomes a line feed.
    try pty.descriptor.writeAll(Array("ab\r".utf8))
    #expect(try other.read(upTo: 100) == Array("ab\n".utf8))
  }

  @Test func sizeIsToldAcross() throws {
    let pty = try PseudoTerminal()
    let other = try FileDescriptor.open(pty.path, [.readWrite, .noControllingTerminal])
    #expect(try pty.terminal.size() == TerminalSize(columns: 0, rows: 0))
    try pty.terminal.setSize(TerminalSize(columns: 132, rows: 43))
    #expect(try Terminal(other.raw).size() == TerminalSize(columns: 132, rows: 43))
  }

  @Test func otherEndThatIsClosedIsSeen() throws {
    let pty = try PseudoTerminal()
    let before = try Poll.wait(for: .readable, on: pty.descriptor, timeout: .zero)
    #expect(before == [])
    try openBriefly(pty.path)
    let after = try Poll.wait(for: .readable, on: pty.descriptor, timeout: soon)
    #expect(after.contains(.hangup))
    #expect(throws: Errno.io) { _ = try pty.descriptor.read(upTo: 1) }
  }

  @Test func pipeIsNoTerminal() throws {
    let pipe = try Pipe(nonBlocking: false)
    let terminal = Terminal(pipe.reading.raw)
    #expect(!terminal.isTerminal)
    #expect(throws: Errno.inappropriateIoctl) { _ = try terminal.settings() }
    #expect(throws: Errno.inappropriateIoctl) { _ = try terminal.makeRaw() }
    #expect(throws: Errno.inappropriateIoctl) { _ = try terminal.size() }
    #expect(throws: Errno.inappropriateIoctl) {
      try terminal.setSize(TerminalSize(columns: 1, rows: 1))
    }
  }
}

private func openBriefly(_ path: String) throws {
  _ = try FileDescriptor.open(path, [.readWrite, .noControllingTerminal])
}
