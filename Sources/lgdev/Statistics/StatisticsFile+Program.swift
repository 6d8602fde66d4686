// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Logging

extension StatisticsFile {
  /// Makes this process's file for `lgdev top` and `lgdev stats`.
  ///
  /// - Returns: nil where the system refuses, which is said: guests run without it.
  static func ofThisProgram(_ logger: Logger) -> StatisticsFile? {
    do throws(Errno) { return try StatisticsFile(program: "lgdev \(Lgdev.version)") } catch {
      guard error != .fileTooLarge else {
        logger.notice(
          "'lgdev top' will not see this process: the limit of file sizes is too small; raise it with 'ulimit -f'"
        )
        return nil
      }
      logger.notice("'lgdev top' will not see this process: \(error)")
      return nil
    }
  }

  /// Shows the counters of devices that have not been started yet.
  func add(_ devices: [MadeDevice], transport: String, guest: String = "") {
    for made in devices { add(made.device, transport: transport, guest: guest) }
  }
}
