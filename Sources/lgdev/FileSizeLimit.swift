// SPDX-License-Identifier: Apache-2.0

import Linux

/// The limit of file sizes under which this process runs (ulimit -f).
enum FileSizeLimit {
  /// What is to be said of an image that can be written only in part; nil where all of it can.
  static func note(_ path: String, byteCount: UInt64) -> String? {
    let limit = Process.fileSizeLimit
    guard limit < byteCount, let status = try? FileSystem.status(of: path), status.kind == .regular
    else { return nil }
    let reach = byteCountText(limit)
    return "\(path): writes behind its first \(reach) fail: that is the limit of file sizes;"
      + " raise it with 'ulimit -f'"
  }
}
