// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Groups of users.
public enum UserGroup {
  /// The number of a group (getgrnam_r(3)). - Returns: nil where there is no such group.
  public static func number(named name: String) -> UInt32? {
    // SAFETY: all zeros, until the call fills it.
    var record = unsafe group()
    var found: UnsafeMutablePointer<group>?
    // Members' names count too, and large groups exist.
    let size = 1 << 20
    // SAFETY: the call fills a local and a buffer of the size that it is told; what the record points
    // to is in that buffer, and none of it is used after the closure.
    let code = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer in
      unsafe getgrnam_r(name, &record, buffer.baseAddress, size, &found)
    }
    // SAFETY: only compared.
    guard code == 0, unsafe found != nil else { return nil }
    return unsafe record.gr_gid
  }
}
