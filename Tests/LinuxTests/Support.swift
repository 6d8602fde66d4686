// SPDX-License-Identifier: Apache-2.0
//
// What several of these tests need: a place for files, and a look at the other end.

import Glibc

@testable import Linux

/// A directory that is removed, with the files directly in it, when the test is over.
struct TemporaryDirectory: ~Copyable {
  let path: String

  init() {
    var template = Array("/tmp/lgdev-linux-XXXXXX".utf8.map(CChar.init(bitPattern:))) + [0]
    unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, unsafe mkdtemp(base) != nil else {
        preconditionFailure("no temporary directory: \(Errno.current)")
      }
    }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  deinit {
    if let directory = unsafe opendir(path) {
      while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
          unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { unsafe unlink("\(path)/\(name)") }
      }
      unsafe closedir(directory)
    }
    unsafe rmdir(path)
  }
}

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
  try Poll.wait(for: [], on: reading, timeout: .seconds(10)) == .hangup
}
