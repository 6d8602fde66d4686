// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// The system's log, for a process that has no terminal (syslog(3)).
public enum SystemLog {
  /// How much a line matters.
  public enum Priority: Sendable {
    /// Something does not work (LOG_ERR).
    case error
    /// Something may not work (LOG_WARNING).
    case warning
    /// Worth knowing (LOG_NOTICE).
    case notice
    /// A matter of course (LOG_INFO).
    case info
    /// For who looks for a defect (LOG_DEBUG).
    case debug

    fileprivate var rawValue: Int32 {
      switch self {
      case .error: LOG_ERR
      case .warning: LOG_WARNING
      case .notice: LOG_NOTICE
      case .info: LOG_INFO
      case .debug: LOG_DEBUG
      }
    }
  }

  /// Has lines begin with the program's name and number. To be called once.
  public static func open() { clinux_openlog() }

  /// Writes a line. Where nobody keeps such a log it is lost.
  public static func write(_ line: String, _ priority: Priority) {
    // SAFETY: the call reads a string that ends with zero, and keeps nothing of it.
    unsafe clinux_syslog(priority.rawValue, line)
  }
}
