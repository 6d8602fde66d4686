// SPDX-License-Identifier: Apache-2.0
//
// PidFile: tells others the number of this process, and keeps a second one away.
//
// The file is locked for as long as its process lives, so a file left behind by one that was killed is
// told from one in use, and is taken over. Between opening and locking another process may have removed
// the file; then the lock is of a file that nobody sees, so it is looked at again after locking.

import Linux
import Synchronization

/// A file with the number of this process, removed when this object goes.
final class PidFile: Sendable {
  private let path: String
  private let descriptor: FileDescriptor
  private let isRemoved = Atomic<Bool>(false)

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

  /// How often the file may vanish between opening and locking.
  private static let attempts = 100

  private static func make(_ path: String) throws(HostError) -> FileDescriptor {
    do throws(Errno) {
      for _ in 0..<attempts {
        let descriptor = try FileDescriptor.open(path, [.readWrite, .create], mode: 0o644)
        guard try descriptor.lockBytes(.write, start: 0, length: 0) else { throw Errno.busy }
        guard isThere(path, descriptor) else { continue }
        try descriptor.truncate(to: 0)
        try descriptor.writeAll(Array("\(Process.id)\n".utf8))
        return descriptor
      }
    } catch .busy {
      throw inUse(path)
    } catch {
      throw HostError("--pidfile \(path): \(error)")
    }
    throw HostError("--pidfile \(path): it vanishes again and again")
  }

  /// Whether the path still leads to the open file.
  private static func isThere(_ path: String, _ descriptor: borrowing FileDescriptor) -> Bool {
    guard let open = try? descriptor.status(), let named = try? FileSystem.status(of: path) else {
      return false
    }
    return open.inode == named.inode && open.device == named.device
  }

  /// Removes the file, unless somebody has put another one in its place. From any thread.
  func remove() {
    guard !isRemoved.exchange(true, ordering: .relaxed), Self.isThere(path, descriptor) else {
      return
    }
    try? FileSystem.remove(path)
  }

  deinit { remove() }

  private static func inUse(_ path: String) -> HostError {
    HostError("--pidfile \(path): another running process holds it; end that one first")
  }
}
