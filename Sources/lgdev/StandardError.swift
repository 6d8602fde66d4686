// SPDX-License-Identifier: Apache-2.0

import Linux
import Synchronization

/// The error stream, a line at a time; for a process that has gone on without a terminal the system's log.
enum StandardError {
  private static let isSystemLog = Atomic<Bool>(false)

  /// From now on lines go to the system's log.
  static func becomeSystemLog() {
    SystemLog.open()
    isSystemLog.store(true, ordering: .releasing)
  }

  /// Prints a line with one write, so that lines of several threads and processes do not mix.
  ///
  /// A line break inside becomes a space.
  static func print(_ line: String, _ priority: SystemLog.Priority = .error) {
    let flat = line.split(whereSeparator: \.isNewline).joined(separator: " ")
    if isSystemLog.load(ordering: .acquiring) { return SystemLog.write(flat, priority) }
    // An error stream that is closed or full has nobody to tell.
    guard let stream = try? FileDescriptor.duplicating(2) else { return }
    try? stream.writeAll(Array((flat + "\n").utf8))
  }
}

/// The output stream.
enum StandardOutput {
  /// Writes all bytes.
  ///
  /// - Throws: where nobody takes them.
  static func writeAll(_ bytes: [UInt8]) throws(HostError) {
    do throws(Errno) { try FileDescriptor.duplicating(1).writeAll(bytes) } catch {
      throw HostError("cannot write to the output: \(error)")
    }
  }

  /// Writes bytes as they are.
  static func write(_ bytes: [UInt8]) {
    guard let stream = try? FileDescriptor.duplicating(1) else { return }
    try? stream.writeAll(bytes)
  }
}
