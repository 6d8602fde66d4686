// SPDX-License-Identifier: Apache-2.0

/// Where a device meets its front-end.
public enum FrontEndLocation: Sendable, Equatable {
  /// A socket that is made at a path, where front-ends connect, one after the other. A socket that
  /// nobody listens on any more is replaced.
  case listen(String, SocketAccess = .owner)
  /// A socket on which a front-end listens. It is connected to again when the front-end goes away, and
  /// tried once a second while there is none.
  case connect(String)
  /// An open socket with this number, which the server takes over: a listening one serves front-ends
  /// one after the other, a connected one serves one, and then the device is done.
  case descriptor(Int32)
}

/// Who may connect to a socket that is made.
public struct SocketAccess: Sendable, Equatable {
  /// The permissions of the socket's file, whatever the umask.
  public var mode: UInt32
  /// The number of the group that the file is given to; nil leaves it as it is made.
  public var group: UInt32?

  /// Names mode and group.
  public init(mode: UInt32 = 0o600, group: UInt32? = nil) {
    self.mode = mode
    self.group = group
  }

  /// Nobody but the user of this process.
  public static let owner = SocketAccess()
}
