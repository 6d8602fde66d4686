// SPDX-License-Identifier: Apache-2.0
//
// Stream sockets in the file system, and pairs of them (unix(7)).

import CLinux
import Glibc

/// Two sockets, each of which gets what the other is sent. Either can be moved out.
@frozen
public struct SocketPair: ~Copyable, Sendable {
  /// One end.
  public var first: FileDescriptor
  /// The other.
  public var second: FileDescriptor
}

/// Stream sockets between processes of one machine.
public enum UnixSocket {
  /// The longest path that fits a socket's address, in bytes. A longer one is `.nameTooLong`.
  public static let maximumPathLength = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

  /// Makes a socket at a path and listens there.
  ///
  /// - Parameters:
  ///   - path: must not exist: see `state(of:)` for a socket left over by a process that was killed.
  ///   - backlog: how many connections wait to be accepted.
  ///   - mode: who may connect: the socket's permissions, exactly, whatever the umask. They are never
  ///     wider than that, not even for a moment.
  /// - Returns: a descriptor that does not wait, for `accept(on:)`.
  /// - Throws: `.addressInUse` when the path exists, `.nameTooLong`.
  public static func listen(
    _ path: String, backlog: Int32 = 1, mode: UInt32 = 0o600
  ) throws(Errno) -> FileDescriptor {
    var address = try address(path)
    let socket = try make(nonBlocking: true)
    // The file takes the permissions of the socket less the umask; the second call gives back what
    // the umask took.
    _ = try systemCall(retryOnInterrupt: false) { fchmod(socket.raw, mode) }
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call reads a local of the size that it is told.
      unsafe clinux_bind(socket.raw, &address, addressSize)
    }
    do throws(Errno) {
      try FileSystem.setPermissions(of: path, to: mode)
      _ = try systemCall(retryOnInterrupt: false) { Glibc.listen(socket.raw, backlog) }
    } catch {
      try? FileSystem.remove(path)
      throw error
    }
    return socket
  }

  /// Connects to a listening socket.
  ///
  /// - Parameters:
  ///   - path: where it listens.
  ///   - nonBlocking: whether the connection's own calls never wait, and neither does this one.
  /// - Throws: `.notFound`, `.connectionRefused` when nobody listens, `.accessDenied`, `.nameTooLong`;
  ///   `.again` when too many wait to be accepted, and this call may not.
  public static func connect(
    _ path: String, nonBlocking: Bool = false
  ) throws(Errno) -> FileDescriptor {
    var address = try address(path)
    let socket = try make(nonBlocking: nonBlocking)
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call reads a local of the size that it is told.
      unsafe clinux_connect(socket.raw, &address, addressSize)
    }
    return socket
  }

  /// Accepts a connection (accept4(2)).
  ///
  /// - Parameters:
  ///   - listener: what `listen` has made.
  ///   - nonBlocking: whether the connection's own calls never wait.
  /// - Returns: nil when nobody waits to be accepted, or who waited is gone already.
  /// - Throws: `.tooManyOpenFiles` among others: the connection then stays, and polling reports it
  ///   again at once.
  public static func accept(
    on listener: borrowing FileDescriptor, nonBlocking: Bool = false
  ) throws(Errno) -> FileDescriptor? {
    let flags = clinux_SOCK_CLOEXEC | (nonBlocking ? clinux_SOCK_NONBLOCK : 0)
    do throws(Errno) {
      return FileDescriptor(
        owning: try systemCall(retryOnInterrupt: true) { clinux_accept4(listener.raw, flags) })
    } catch {
      if error == .again || error == .connectionAborted { return nil }
      throw error
    }
  }

  /// Two connected sockets (socketpair(2)).
  ///
  /// - Parameter messages: whether what is sent arrives in the same pieces (SOCK_SEQPACKET).
  public static func pair(
    messages: Bool = false
  ) throws(Errno) -> SocketPair {
    var ends: InlineArray<2, Int32> = [-1, -1]
    let kind = messages ? Int32(SOCK_SEQPACKET.rawValue) : Int32(SOCK_STREAM.rawValue)
    // SAFETY: the call fills an array of two ints.
    _ = try systemCall(retryOnInterrupt: false) {
      unsafe withUnsafeMutablePointer(to: &ends) {
        unsafe clinux_socketpair(AF_UNIX, kind | clinux_SOCK_CLOEXEC, $0)
      }
    }
    return SocketPair(
      first: FileDescriptor(owning: ends[0]), second: FileDescriptor(owning: ends[1]))
  }

  /// What is at a path where somebody wants to listen.
  public enum PathState: Sendable {
    /// Nothing.
    case free
    /// A socket that nobody listens on: left over, and safe to remove.
    case stale
    /// A socket that somebody listens on, or that may not be asked.
    case live
    /// Something else.
    case notASocket
  }

  /// Looks at a path where somebody wants to listen.
  ///
  /// A live listener sees a connection that is closed at once.
  public static func state(of path: String) throws(Errno) -> PathState {
    var address = try address(path)
    do throws(Errno) {
      guard try FileSystem.status(of: path).kind == .socket else { return .notASocket }
      let socket = try make(nonBlocking: true)
      _ = try systemCall(retryOnInterrupt: true) {
        // SAFETY: the call reads a local of the size that it is told.
        unsafe clinux_connect(socket.raw, &address, addressSize)
      }
      return .live
    } catch {
      return switch error {
      case .notFound: .free
      case .connectionRefused: .stale
      // The backlog is full, it is another kind of socket, or it is another user's.
      case .again, Errno(rawValue: EPROTOTYPE), .accessDenied, .permission: .live
      default: throw error
      }
    }
  }

  private static func make(nonBlocking: Bool) throws(Errno) -> FileDescriptor {
    let kind =
      Int32(SOCK_STREAM.rawValue) | clinux_SOCK_CLOEXEC | (nonBlocking ? clinux_SOCK_NONBLOCK : 0)
    return FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { socket(AF_UNIX, kind, 0) })
  }

  private static func address(_ path: String) throws(Errno) -> sockaddr_un {
    let bytes = Array(path.utf8)
    guard bytes.count <= maximumPathLength else { throw .nameTooLong }
    guard !bytes.isEmpty, !bytes.contains(0) else { throw .invalidArgument }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: the path is shorter than the field, which was all zeros, so a terminator follows.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return address
  }

  private static let addressSize = socklen_t(MemoryLayout<sockaddr_un>.size)
}
