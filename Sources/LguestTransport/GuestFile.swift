// SPDX-License-Identifier: Apache-2.0

import Linux

/// A file that a guest is loaded from: open, so that it stays the one that was looked at.
final class GuestFile {
  /// What the user calls it.
  let path: String
  /// In bytes.
  let size: UInt64
  let descriptor: FileDescriptor

  /// Opens a file, which must be a regular one.
  convenience init(_ path: String) throws(LguestError) {
    let descriptor: FileDescriptor
    do throws(Errno) {
      // A FIFO without a writer would make open wait.
      descriptor = try FileDescriptor.open(path, [.readOnly, .nonBlocking])
    } catch {
      throw .unreadable(path: path, error)
    }
    try self.init(descriptor, path: path)
  }

  /// Takes over an open file.
  init(_ descriptor: consuming FileDescriptor, path: String) throws(LguestError) {
    do throws(Errno) {
      let status = try descriptor.status()
      guard status.kind == .regular else {
        throw status.kind == .directory ? Errno.isDirectory : .invalidArgument
      }
      size = status.size
    } catch {
      throw .unreadable(path: path, error)
    }
    self.path = path
    self.descriptor = descriptor
  }

  /// Bytes of the file; fewer than asked for at its end.
  func bytes(at offset: UInt64, upTo count: Int) throws(LguestError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    do throws(Errno) {
      let got = try descriptor.read(into: &bytes, at: offset)
      bytes.removeSubrange(got...)
      return bytes
    } catch {
      throw .unreadable(path: path, error)
    }
  }

  /// Bytes of a kernel that must be there.
  func header(at offset: UInt64, count: Int) throws(LguestError) -> [UInt8] {
    let bytes = try bytes(at: offset, upTo: count)
    guard bytes.count == count else { throw .damagedKernel(path: path, reason: "it is cut off") }
    return bytes
  }
}
