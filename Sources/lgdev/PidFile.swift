// SPDX-License-Identifier: Apache-2.0
//
// PidFile: tells others the number of this process, and keeps a second one away.
//
// The file is locked for as long as its process lives, so a file left behind by one that was killed is
// told from one in use, and is taken over.

import Linux

/// A file with the number of this process, removed when this value goes.
struct PidFile: ~Copyable {
  private let path: String
  private let descriptor: FileDescriptor

  /// Looks, without changing anything, whether the file can be made.
  static func check(_ path: String) throws(HostError) {
    try Directory.check(holding: path, for: "--pidfile \(path)")
    let isHeld: Bool
    do throws(Errno) {
      let descriptor = try FileDescriptor.open(path, [.readOnly, .nonBlocking])
      isHeld = try descriptor.probeLock(.read, start: 0, length: 0) != nil
    } catch .notFound {
      return
    } catch {
      throw HostError("--pidfile \(path): \(error)")
    }
    if isHeld { throw inUse(path) }
  }

  /// Makes the file, or takes over one that nobody holds.
  init(_ path: String) throws(HostError) {
    descriptor = try Self.make(path)
    self.path = path
  }

  private static func make(_ path: String) throws(HostError) -> FileDescriptor {
    do throws(Errno) {
      let descriptor = try FileDescriptor.open(path, [.readWrite, .create], mode: 0o644)
      if try descriptor.lockBytes(.write, start: 0, length: 0) {
        try descriptor.truncate(to: 0)
        try descriptor.writeAll(Array("\(Process.id)\n".utf8))
        return descriptor
      }
    } catch {
      throw HostError("--pidfile \(path): \(error)")
    }
    throw inUse(path)
  }

  deinit { try? FileSystem.remove(path) }

  private static func inUse(_ path: String) -> HostError {
    HostError("--pidfile \(path): another running process holds it; end that one first")
  }
}
