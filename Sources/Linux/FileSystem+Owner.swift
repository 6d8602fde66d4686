// SPDX-License-Identifier: Apache-2.0

import Glibc

extension FileSystem {
  /// Gives a file to a group (chown(2)).
  ///
  /// - Throws: `.permission` where the user is neither root nor the owner and a member of the group.
  public static func setGroup(of path: String, to group: UInt32) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) {
      // The largest user number is "leave the user as it is".
      // SAFETY: the path is a terminated string during the call.
      unsafe chown(path, uid_t.max, group)
    }
  }
}
