// SPDX-License-Identifier: Apache-2.0
//
// Hears that some network interface has changed: came, went, was switched on or off, got or lost
// its link (rtnetlink(7)). What has changed is asked of the interface itself; that cannot be out of
// date.

import CLinux
import Glibc

/// Changes of the interfaces in the network of the thread that made it.
public struct LinkEvents: ~Copyable, Sendable {
  /// Readable when something has changed since `drain()`.
  public let descriptor: FileDescriptor

  /// Starts to listen.
  public init() throws(Errno) {
    let type = Int32(SOCK_RAW.rawValue) | clinux_SOCK_CLOEXEC | clinux_SOCK_NONBLOCK
    let socket = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) {
        Glibc.socket(AF_NETLINK, type, Self.route)
      })
    // struct sockaddr_nl: family and padding, our port (0: the kernel chooses), a mask of groups.
    var address: (UInt16, UInt16, UInt32, UInt32) = (UInt16(AF_NETLINK), 0, 0, Self.linkGroup)
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call reads a local of the size that it is told.
      unsafe clinux_bind(
        socket.raw, &address, UInt32(MemoryLayout<(UInt16, UInt16, UInt32, UInt32)>.size))
    }
    descriptor = socket
  }

  private static let route: Int32 = 0  // NETLINK_ROUTE
  private static let linkGroup: UInt32 = 1  // RTMGRP_LINK

  /// Forgets what has been heard. Too many changes at once overflow the socket, which is a change
  /// too.
  public borrowing func drain() {
    var bytes = InlineArray<1024, UInt8>(repeating: 0)
    while true {
      do throws(Errno) {
        var span = bytes.mutableSpan
        // The rest of a longer message is cut off.
        guard try descriptor.read(into: &span) > 0 else { return }
      } catch .noBuffers {
        continue
      } catch {
        return
      }
    }
  }
}
