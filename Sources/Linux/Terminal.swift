// SPDX-License-Identifier: Apache-2.0
//
// Terminals: whether one is there, how it treats what is typed, how large it is.

import CLinux
import Glibc

/// How large a terminal's window is, in characters.
public struct TerminalSize: Sendable, Equatable {
  /// Characters in a line.
  public var columns: UInt16
  /// Lines.
  public var rows: UInt16

  /// Makes one from its parts.
  public init(columns: UInt16, rows: UInt16) {
    self.columns = columns
    self.rows = rows
  }
}

/// How a terminal treats input and output (termios(3)).
public struct TerminalSettings: Sendable {
  fileprivate var storage: termios

  /// The same, but nothing is echoed, gathered into lines, changed or made a signal (cfmakeraw(3)).
  public var raw: TerminalSettings {
    var settings = self
    // SAFETY: the call changes a local of the type that it wants.
    unsafe cfmakeraw(&settings.storage)
    return settings
  }

  /// Whether what is typed is echoed.
  public var echoes: Bool { storage.c_lflag & tcflag_t(ECHO) != 0 }
}

/// A terminal behind a descriptor that somebody else owns, for example standard input.
public struct Terminal: Sendable {
  /// The descriptor's number.
  public let fd: Int32

  /// Names a descriptor, which need not be a terminal.
  public init(_ fd: Int32) {
    self.fd = fd
  }

  /// Whether it is a terminal (isatty(3)).
  public var isTerminal: Bool { isatty(fd) == 1 }

  /// How it is set now (tcgetattr(3)).
  ///
  /// - Throws: `.inappropriateIoctl` when it is no terminal.
  public func settings() throws(Errno) -> TerminalSettings {
    var storage = termios()
    // SAFETY: the call fills a local of the type that it wants.
    _ = try systemCall(retryOnInterrupt: true) { unsafe tcgetattr(fd, &storage) }
    return TerminalSettings(storage: storage)
  }

  /// Sets it, at once; what was typed and not read yet stays (tcsetattr(3)).
  public func apply(_ settings: TerminalSettings) throws(Errno) {
    var storage = settings.storage
    // SAFETY: the call reads a local of the type that it wants.
    _ = try systemCall(retryOnInterrupt: true) { unsafe tcsetattr(fd, TCSANOW, &storage) }
  }

  /// Makes it raw.
  ///
  /// - Returns: how it was set before, for `apply` when the program ends.
  public func makeRaw() throws(Errno) -> TerminalSettings {
    let before = try settings()
    try apply(before.raw)
    return before
  }

  /// How large its window is; zeros when nobody ever said (TIOCGWINSZ).
  public func size() throws(Errno) -> TerminalSize {
    var size = TerminalSize(columns: 0, rows: 0)
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call writes two unsigned shorts to locals.
      unsafe clinux_tiocgwinsz(fd, &size.columns, &size.rows)
    }
    return size
  }

  /// Says how large its window is; who runs in it gets SIGWINCH when that is new (TIOCSWINSZ).
  public func setSize(_ size: TerminalSize) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) { clinux_tiocswinsz(fd, size.columns, size.rows) }
  }
}
