// SPDX-License-Identifier: Apache-2.0

import CLinux

/// A terminal in raw mode, for as long as this value lives: every key arrives at once and as it was
/// pressed, none is echoed and none means a signal. Output is processed as before.
///
/// The settings come back when this value ends, when the process exits, and when it crashes: see
/// rawterminal.c.
public struct RawTerminal: ~Copyable, Sendable {
  /// Puts a terminal into raw mode.
  ///
  /// - Throws: `.busy` where another one is in raw mode, `.inappropriateIoctl` for what is no
  ///   terminal.
  public init(_ terminal: borrowing FileDescriptor) throws(Errno) {
    let raw = terminal.raw
    _ = try systemCall(retryOnInterrupt: true) { clinux_terminal_make_raw(raw) }
  }

  /// Whether a descriptor is the process's controlling terminal, and another job has it now: reading
  /// it, or changing its settings, would stop the process.
  public static func belongsToAnotherJob(_ terminal: borrowing FileDescriptor) -> Bool {
    clinux_terminal_is_background(terminal.raw) != 0
  }

  /// Gives the terminal in raw mode its settings back, if there is one: before something that may
  /// never end. From any thread.
  public static func restore() { clinux_terminal_restore() }

  deinit { clinux_terminal_restore() }
}
