// SPDX-License-Identifier: Apache-2.0
//
// What several of these tests need: a look at the other end.

import Glibc
import HostTesting

@testable import Linux

extension Pipe {
  /// Closes both ends here.
  consuming func end() {}
}

/// Whether a descriptor's number is open in this process.
func isOpen(_ raw: Int32) -> Bool { fcntl(raw, F_GETFD) != -1 }

/// The descriptor, or a failed test: #require cannot take what cannot be copied.
func required(_ descriptor: consuming FileDescriptor?) throws -> FileDescriptor {
  guard let descriptor else { throw Errno.badFileDescriptor }
  return descriptor
}

/// Whether all writing ends of a pipe are closed, or soon will be: a process that another test starts
/// has a copy of each descriptor for a moment.
func seesEnd(_ reading: borrowing FileDescriptor) throws -> Bool {
  try Poll.wait(for: [], on: reading, timeout: soon) == .hangup
}
