// SPDX-License-Identifier: Apache-2.0
//
// ImageLock: keeps two programs from using one image in ways that do not go together.
//
// It speaks the language of QEMU's image locks, so that a running QEMU and this program keep each other out.
// Whoever opens an image puts shared locks on single bytes of it, which belong to the open file:
//
//     100 + n   "I do n"
//     200 + n   "nobody else may do n"
//
// n is 0 for reading data that must be consistent, 1 for writing. Then it looks whether somebody else has
// the counterpart of one of its own locks: a lock that is seen from outside as one that would be in the way
// of an exclusive one. First lock, then look: of two that come at the same time at least one sees the
// other. The bytes need not exist and their content is not touched.
//
// The locks are the open file's and go with its last descriptor, so a process that is killed leaves none.

import Linux

enum ImageLock {
  private static let doing: UInt64 = 100
  private static let excluding: UInt64 = 200
  private static let reading: UInt64 = 0
  private static let writing: UInt64 = 1

  /// Locks an image as a disk uses it: nobody else may write; readers may share.
  ///
  /// - Parameters:
  ///   - descriptor: any open file of the image, readable. It must stay open.
  ///   - action: what the error says was tried.
  /// - Throws: where somebody else uses the image in a way that does not go together with ours, or the
  ///   file system has no locks.
  static func take(
    _ descriptor: borrowing FileDescriptor, writable: Bool, action: String
  ) throws(DeviceError) {
    do throws(Errno) {
      try hold(descriptor, doing + reading)
      if writable { try hold(descriptor, doing + writing) }
      try hold(descriptor, excluding + writing)
    } catch .again {
      throw inUse(action, "which has locked all of it", writable)
    } catch {
      throw refused(error, action)
    }
    if try isHeld(descriptor, doing + writing, action) {
      throw inUse(action, "which may write to it", writable)
    }
    if try isHeld(descriptor, excluding + reading, action) {
      throw inUse(action, "which wants it alone", writable)
    }
    if writable, try isHeld(descriptor, excluding + writing, action) {
      throw inUse(action, "which wants nobody else to write to it", writable)
    }
  }

  private static func hold(
    _ descriptor: borrowing FileDescriptor, _ byte: UInt64
  ) throws(Errno) {
    guard try descriptor.lockBytes(.read, start: byte, length: 1) else { throw .again }
  }

  private static func isHeld(
    _ descriptor: borrowing FileDescriptor, _ byte: UInt64, _ action: String
  ) throws(DeviceError) -> Bool {
    do throws(Errno) {
      return try descriptor.probeLock(.write, start: byte, length: 1) != nil
    } catch {
      throw refused(error, action)
    }
  }

  private static func refused(_ error: Errno, _ action: String) -> DeviceError {
    DeviceError(
      action,
      "its file system refuses locks (\(error)); move it to one that has them, such as a local one")
  }

  private static func inUse(_ action: String, _ how: String, _ writable: Bool) -> DeviceError {
    DeviceError(
      action,
      "it is in use by another process, \(how); end that process"
        + (writable ? ", or use both read-only" : ", or let it use the image read-only"))
  }
}
