// SPDX-License-Identifier: Apache-2.0

public import Linux

/// What a console is connected to on the host, and how.
public struct ConsoleOptions: Sendable {
  /// What a console can be connected to.
  public enum HostEnd: Sendable, Equatable {
    /// The descriptors with these numbers, which stay the caller's: standard input and output.
    ///
    /// A terminal at the input is in raw mode until the console is shut down.
    case stdio(input: Int32 = 0, output: Int32 = 1)
    /// A new pseudo-terminal, with a symbolic link to it where a path is given. It can be opened and
    /// closed again and again.
    case pty(link: String? = nil)
    /// A Unix socket that listens at a path. It serves one client at a time; the others wait.
    case socket(path: String)
    /// A file that output is appended to. There is no input.
    case file(path: String)
  }

  /// What becomes of output that the host's end does not take as fast as the guest makes it, once the
  /// buffer is full.
  public enum Overflow: String, Sendable, CaseIterable {
    /// The guest waits, but for a reader that takes nothing at all no longer than `patience`.
    case block
    /// The oldest output in the buffer makes room.
    case drop
  }

  /// What the console is connected to.
  public var hostEnd: HostEnd

  /// What becomes of output when the buffer is full.
  ///
  /// It concerns a reader that is there and slow. While nobody is there, neither makes the guest wait: the last
  /// output, as much as the buffer holds, is kept for whoever comes.
  public var overflow = Overflow.block

  /// How many bytes of output are kept for a reader that is slow or not there.
  public var bufferSize = 65536

  /// How long the guest waits for a reader that takes nothing. Then the oldest output makes room,
  /// until the reader takes something again.
  public var patience = Duration.seconds(10)

  /// How long the guest may take no input before keys, and what a client that has left sent, are thrown away.
  package var inputPatience = Duration.seconds(1)

  /// The size that the guest is told; nil for that of the terminal which the console is connected to, as it
  /// changes.
  public var size: TerminalSize?

  /// Called when Ctrl-C was typed three times within a second on `.stdio`, on the console's thread; it
  /// must not block. What was typed reaches the guest as well.
  public var onEscape: (@Sendable () -> Void)?

  /// Told in one line what went wrong on the host's side, at most once a second, on any thread.
  public var onTrouble: (@Sendable (String) -> Void)?

  /// Connects a console.
  public init(_ hostEnd: HostEnd = .stdio()) {
    self.hostEnd = hostEnd
  }
}
