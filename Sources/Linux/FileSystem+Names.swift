// SPDX-License-Identifier: Apache-2.0

import Glibc

extension FileSystem {
  /// The names of what is in a directory, in no order, without "." and ".." (readdir(3)).
  public static func names(in path: String) throws(Errno) -> [String] {
    // SAFETY: the stream is closed on every way out and read only in between; the path is a
    // terminated string during the call.
    guard let directory = unsafe opendir(path) else { throw .current }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    // SAFETY: an entry is valid until the next call, and its name, of at most 255 bytes and a zero, lies at the
    // place in it that is asked for.
    while let entry = unsafe readdir(directory) {
      let offset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0
      let name = unsafe String(
        cString: UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self))
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }
}
