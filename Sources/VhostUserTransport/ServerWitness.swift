// SPDX-License-Identifier: Apache-2.0
//
// ServerWitness: what other threads may know of a server whose end does not come. The thread of a front-end
// waits for requests in flight when it stops a queue, a host's storage can keep those for ever, and the end
// of the server waits for that thread.

import Linux
import Synchronization

/// A socket file that was made here.
final class OwnedSocket: Sendable {
  let path: String
  private let made: FileStatus
  private let isRemoved = Atomic<Bool>(false)

  init(_ path: String) throws(Errno) {
    self.path = path
    made = try FileSystem.status(of: path)
  }

  /// Removes it, unless somebody has put another one in its place. From any thread.
  func remove() {
    guard !isRemoved.exchange(true, ordering: .relaxed), isInPlace else { return }
    try? FileSystem.remove(path)
  }

  /// Whether its path still names it.
  var isInPlace: Bool {
    guard let now = try? FileSystem.status(of: path) else { return false }
    return now.inode == made.inode && now.device == made.device
  }
}

/// The view of a server from outside of its thread.
public final class ServerWitness: Sendable {
  /// The devices that something is done with, the one that takes longest first.
  private let current = Mutex<[String]>([])
  private let sockets = Mutex<[OwnedSocket]>([])

  init() {}

  /// The device that a thread of the server has been busy with for longest; nil for none.
  public var busyDevice: String? { current.withLock { $0.first } }

  /// Removes the sockets that the server has made: for who ends the process without it.
  public func removeSockets() {
    for socket in sockets.withLock({ $0 }) { socket.remove() }
  }

  func add(_ socket: OwnedSocket) { sockets.withLock { $0.append(socket) } }

  /// Names the device while something is done with it.
  func busy(with device: String, _ body: () -> Void) {
    current.withLock { $0.append(device) }
    body()
    // One thread at a time is busy with a device.
    current.withLock { names in
      if let index = names.firstIndex(of: device) { names.remove(at: index) }
    }
  }
}
