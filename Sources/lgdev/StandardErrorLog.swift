// SPDX-License-Identifier: Apache-2.0

import Linux
import Logging

/// Writes log lines to standard error: `block0: listening on …`, `warning: block0: …`; where there are several guests,
/// `web: warning: block0: …`.
struct StandardErrorLog: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  private let prefix: String

  /// - Parameter prefix: what each line begins with.
  init(level: Logger.Level, prefix: String = "") {
    logLevel = level
    self.prefix = prefix
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    // What is told as a matter of course needs no label.
    let label = event.level == .info || event.level == .notice ? "" : "\(event.level): "
    let metadata = event.metadata ?? [:]
    let all = self.metadata.merging(metadata) { _, new in new }
    let suffix = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    StandardError.print(
      "\(prefix)\(label)\(event.message)\(suffix)", SystemLog.Priority(event.level))
  }
}

extension SystemLog.Priority {
  fileprivate init(_ level: Logger.Level) {
    self =
      switch level {
      case .trace, .debug: .debug
      case .info: .info
      case .notice: .notice
      case .warning: .warning
      case .error, .critical: .error
      }
  }
}
