// SPDX-License-Identifier: Apache-2.0

import Linux

/// What a process has cost so far.
public enum ProcessorTime {
  /// User and system time of a process and all its threads, in nanoseconds (proc(5)).
  public static func nanoseconds(of pid: Int32) throws -> Int {
    let file = try FileDescriptor.open("/proc/\(pid)/stat", .readOnly)
    let text = String(decoding: try file.read(upTo: 4096), as: UTF8.self)
    // The name in parentheses may hold anything; the numbers follow its last one.
    guard let end = text.lastIndex(of: ")") else { return 0 }
    let fields = text[end...].split(separator: " ")
    guard fields.count > 13, let user = Int(fields[12]), let system = Int(fields[13]) else {
      return 0
    }
    // A tick is 10 ms on every Linux that this runs on (sysconf(3), _SC_CLK_TCK).
    return (user + system) * 10_000_000
  }
}
