// SPDX-License-Identifier: Apache-2.0
//
// What a host module can find out about the process that asks it: whether an address is one, and what a
// descriptor's file is.

import Linux

/// This process's memory.
package enum OwnMemory {
  /// Bytes at an address, whatever it is; nil where any of them is not mapped.
  package static func bytes(at address: UInt64, count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    guard address <= UInt64(Int64.max), let file = try? FileDescriptor.open("/proc/self/mem"),
      let got = try? file.read(into: &bytes, at: address), got == count
    else { return nil }
    return bytes
  }
}

/// This process's open files.
package enum OwnFiles {
  package enum Kind { case eventfd, other }

  /// What a descriptor's file is; nil where there is none.
  package static func kind(of number: Int32) -> Kind? {
    guard let target = try? FileSystem.symbolicLinkTarget("/proc/self/fd/\(number)") else {
      return nil
    }
    return target == "anon_inode:[eventfd]" ? .eventfd : .other
  }
}
