// SPDX-License-Identifier: Apache-2.0

import Linux

@testable import LguestTransport

/// A file of the given bytes.
func file(_ bytes: [UInt8], path: String = "kernel") throws -> GuestFile {
  let file = try Memfd.create(name: "kernel", size: UInt64(bytes.count))
  _ = try file.write(bytes, at: 0)
  return try GuestFile(file, path: path)
}
