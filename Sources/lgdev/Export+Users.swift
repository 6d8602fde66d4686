// SPDX-License-Identifier: Apache-2.0

import FuseExport

extension Export {
  /// Who uses the mount, for a line.
  var users: String {
    let holders = holders
    guard !holders.isEmpty else { return "something that this user cannot see" }
    let shown = holders.prefix(3).joined(separator: ", ")
    return holders.count > 3 ? "\(shown) and \(holders.count - 3) more" : shown
  }

  /// Unmounts what can only be read, which loses nothing. - Returns: what is to be said of it.
  func unmountReadOnly() -> String? {
    unmount() ? nil : "\(mountPoint): unmounted while it was used by \(users)"
  }
}
