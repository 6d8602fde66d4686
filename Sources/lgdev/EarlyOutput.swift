// SPDX-License-Identifier: Apache-2.0

import Backends
import Synchronization

/// Where a guest prints before it has a driver for its console: on that console or, where there is none, on standard
/// output; there whole lines that begin with the guest's name, where there are several guests.
final class EarlyOutput: Sendable {
  private let console: ConsoleDevice?
  private let label: String?
  /// The begin of a line.
  private let line = Mutex<[UInt8]>([])

  /// A line that is longer is printed as several.
  private static let lineLimit = 1024

  init(console: ConsoleDevice?, label: String?) {
    self.console = console
    self.label = label
  }

  func print(_ bytes: [UInt8]) {
    if let console { return console.print(bytes) }
    guard label != nil else { return StandardOutput.print(bytes) }
    line.withLock { line in
      for byte in bytes where byte != UInt8(ascii: "\r") {
        if byte == UInt8(ascii: "\n") || line.count == Self.lineLimit { flush(&line) }
        if byte != UInt8(ascii: "\n") { line.append(byte) }
      }
    }
  }

  /// Prints a line that has no end.
  func finish() { line.withLock { if !$0.isEmpty { flush(&$0) } } }

  private func flush(_ line: inout [UInt8]) {
    StandardOutput.print(Array("\(label ?? ""): ".utf8) + line + [UInt8(ascii: "\n")])
    line = []
  }
}
