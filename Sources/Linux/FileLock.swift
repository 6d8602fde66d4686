// SPDX-License-Identifier: Apache-2.0
//
// Byte-range locks that belong to the open file ("open file description locks", fcntl(2)). Unlike
// the older POSIX kind they are not lost when some other descriptor of the same file is closed, and
// they keep out another opening in the same process too. QEMU locks its images with them.

import CLinux
import Glibc

/// What a lock keeps out.
public enum FileLockKind: Sendable, Equatable {
  /// Writers; other readers may lock too. Needs a descriptor open for reading.
  case read
  /// Everybody. Needs a descriptor open for writing.
  case write

  fileprivate var type: Int16 {
    switch self {
    case .read: Int16(F_RDLCK)
    case .write: Int16(F_WRLCK)
    }
  }
}

extension FileDescriptor {
  /// Locks a range of bytes, which need not exist (F_OFD_SETLK).
  ///
  /// A lock that this open file has on the range is replaced. Locks go when the last descriptor of the
  /// open file is closed, duplicates included.
  ///
  /// - Parameters:
  ///   - kind: what it keeps out.
  ///   - start: the first byte.
  ///   - length: 0 means to the end, however far the file grows.
  ///   - wait: whether to wait until nobody is in the way (F_OFD_SETLKW).
  /// - Returns: false when somebody else's lock is in the way.
  public borrowing func lockBytes(
    _ kind: FileLockKind, start: UInt64, length: UInt64, wait: Bool = false
  ) throws(Errno) -> Bool {
    var lock = try Self.range(kind.type, start, length)
    do throws(Errno) {
      _ = try systemCall(retryOnInterrupt: true) {
        // SAFETY: the call reads a local of the type that it wants.
        unsafe fcntl(raw, wait ? clinux_F_OFD_SETLKW : clinux_F_OFD_SETLK, &lock)
      }
      return true
    } catch .again {
      return false
    } catch .accessDenied {
      return false
    }
  }

  /// Gives up this open file's locks on a range; a length of 0 means to the end.
  public borrowing func unlockBytes(start: UInt64, length: UInt64) throws(Errno) {
    var lock = try Self.range(Int16(F_UNLCK), start, length)
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call reads a local of the type that it wants.
      unsafe fcntl(raw, clinux_F_OFD_SETLK, &lock)
    }
  }

  /// Whether somebody else's lock would be in the way (F_OFD_GETLK), by the time of the call.
  ///
  /// - Returns: the kind of the first lock in the way, nil when there is none.
  public borrowing func probeLock(
    _ kind: FileLockKind, start: UInt64, length: UInt64
  ) throws(Errno) -> FileLockKind? {
    var lock = try Self.range(kind.type, start, length)
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call reads and writes a local of the type that it wants.
      unsafe fcntl(raw, clinux_F_OFD_GETLK, &lock)
    }
    return switch Int32(lock.l_type) {
    case F_UNLCK: nil
    case F_RDLCK: .read
    default: .write
    }
  }

  private static func range(
    _ type: Int16, _ start: UInt64, _ length: UInt64
  ) throws(Errno) -> flock {
    // The process number must be 0 for these locks.
    flock(
      l_type: type, l_whence: Int16(SEEK_SET), l_start: try position(start),
      l_len: try position(length), l_pid: 0)
  }
}
