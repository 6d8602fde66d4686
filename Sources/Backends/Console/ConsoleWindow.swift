// SPDX-License-Identifier: Apache-2.0

import Linux
import Synchronization

/// The size of the console's window: what the guest is told, and who is told that it changed. The
/// control thread and the console's thread set it, so it is behind a lock, which no queue ever takes.
final class ConsoleWindow: Sendable {
  let change = ChangeSignal()
  /// The size that the user chose once and for all.
  let fixedSize: TerminalSize?
  private let current: Mutex<TerminalSize>

  init(fixedSize: TerminalSize?) {
    self.fixedSize = fixedSize
    current = Mutex(fixedSize ?? TerminalSize(columns: 0, rows: 0))
  }

  /// Zeros where nobody knows.
  var size: TerminalSize { current.withLock { $0 } }

  /// Changes the size, and tells the guest if it is another one.
  func set(_ size: TerminalSize) {
    let isNew = current.withLock { current in
      defer { current = size }
      return current != size
    }
    if isNew { change.signal() }
  }

  /// Takes on the size of a terminal, unless the user chose one.
  func follow(_ terminal: Terminal) {
    guard fixedSize == nil, let size = try? terminal.size() else { return }
    set(size)
  }
}
