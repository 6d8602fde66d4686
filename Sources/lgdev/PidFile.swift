// SPDX-License-Identifier: Apache-2.0
//
// PidFile: tells others the number of this process, and keeps a second one away.
//
// The file is locked for as long as its process lives, so a file left behind by one that was killed is
// told from one in use, and is taken over. Between opening and locking another process may have removed
// the file; then the lock is of a file that nobody sees, so it is looked at again after locking.
//
// What is there and is no such file, a number on a line, is left alone: it would be overwritten, and in the end
// removed.

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
      guard try isPidFile(descriptor) else { throw Errno.exists }
      isHeld = try descriptor.probeLock(.read, start: 0, length: 0) != nil
    } catch .notFound {
      return
    } catch .exists {
      throw isOther(path)
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
        let descriptor = try FileDescriptor.open(
          path, [.readWrite, .create, .nonBlocking, .noControllingTerminal], mode: 0o644)
        guard try isPidFile(descriptor) else { throw Errno.exists }
        guard try descriptor.lockBytes(.write, start: 0, length: 0) else { throw Errno.busy }
        guard isThere(path, descriptor) else { continue }
        try descriptor.truncate(to: 0)
        try descriptor.writeAll(Array("\(Process.id)\n".utf8))
        return descriptor
      }
    } catch .busy {
      throw inUse(path)
    } catch .exists {
      throw isOther(path)
    } catch {
      throw HostError("--pidfile \(path): \(error)")
    }
    throw HostError("--pidfile \(path): it vanishes again and again")
  }

  /// Whether a file is what this program has written, or would have, or nothing.
  private static func isPidFile(_ descriptor: borrowing FileDescriptor) throws(Errno) -> Bool {
    let status = try descriptor.status()
    guard status.kind == .regular, status.size <= 20 else { return false }
    var bytes = [UInt8](repeating: 0, count: 20)
    let count = try descriptor.read(into: &bytes, at: 0)
    return bytes.prefix(count).allSatisfy { (0x30...0x39).contains($0) || $0 == 0x0a }
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

  private static func isOther(_ path: String) -> HostError {
    HostError("--pidfile \(path): a file that is no pid file is there; choose another path")
  }

  private static func inUse(_ path: String) -> HostError {
    HostError("--pidfile \(path): another running process holds it; end that one first")
  }
}
