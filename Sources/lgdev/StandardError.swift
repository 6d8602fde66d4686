// SPDX-License-Identifier: Apache-2.0

import Glibc
import Linux

/// The error stream, a line at a time.
enum StandardError {
  /// Prints a line with one write, so that lines of several threads and processes do not mix.
  ///
  /// A line break inside becomes a space. On a terminal the line also begins in the first column when
  /// the terminal is in raw mode, as it is while it serves as a console.
  static func print(_ line: String) {
    let end = isatty(2) == 1 ? "\r\n" : "\n"
    let flat = line.split(whereSeparator: \.isNewline).joined(separator: " ")
    // An error stream that is closed or full has nobody to tell.
    guard let stream = try? FileDescriptor.duplicating(2) else { return }
    try? stream.writeAll(Array((flat + end).utf8))
  }
}
