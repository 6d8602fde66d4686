// SPDX-License-Identifier: Apache-2.0
//
// What stat(2) tells.

import Glibc

/// A moment as files have it.
public struct FileTime: Sendable, Equatable {
  /// Since 1970.
  public let seconds: Int
  /// 0 to 999 999 999.
  public let nanoseconds: Int

  /// This moment.
  public static var now: FileTime {
    var time = timespec()
    // SAFETY: the call fills a local. It cannot fail: the clock exists and the pointer is valid.
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return FileTime(time)
  }

  init(_ time: timespec) {
    seconds = time.tv_sec
    nanoseconds = time.tv_nsec
  }
}

/// What a file is, and how large.
public struct FileStatus: Sendable, Equatable {
  /// The kinds of file.
  public enum Kind: Sendable {
    /// An ordinary file.
    case regular
    /// A disk, a partition, a loop device.
    case blockDevice
    /// A terminal, /dev/null, a tap.
    case characterDevice
    /// A socket.
    case socket
    /// A pipe, named or not.
    case fifo
    /// A directory.
    case directory
    /// A symbolic link. Never seen through an open descriptor or a path that is followed.
    case symbolicLink
    /// A file without a kind: an eventfd, an epoll.
    case anonymous
  }

  /// What it is.
  public let kind: Kind
  /// The size in bytes. 0 for a block device: see `FileDescriptor.blockDeviceSize()`.
  public let size: UInt64
  /// The number of the device that the file is on.
  public let device: UInt64
  /// The number of the file on that device. The two together tell files apart.
  public let inode: UInt64
  /// The preferred size of transfers, in bytes.
  public let blockSize: Int
  /// Bytes that are really allocated, fewer than `size` when there are holes.
  public let allocatedSize: UInt64
  /// The permission bits, 0o7777 at most.
  public let permissions: UInt32
  /// How many names the file has: 0 for one that was removed while it was open.
  public let linkCount: UInt64
  /// When it was read last, as far as its file system keeps count.
  public let accessed: FileTime
  /// When its content changed last.
  public let modified: FileTime
  /// When its content or what is told here changed last.
  public let changed: FileTime

  init(_ status: stat) {
    kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .regular
      case S_IFBLK: .blockDevice
      case S_IFCHR: .characterDevice
      case S_IFSOCK: .socket
      case S_IFIFO: .fifo
      case S_IFDIR: .directory
      case S_IFLNK: .symbolicLink
      default: .anonymous
      }
    size = UInt64(status.st_size)
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    blockSize = Int(status.st_blksize)
    allocatedSize = UInt64(status.st_blocks) * 512
    permissions = status.st_mode & 0o7777
    linkCount = UInt64(status.st_nlink)
    accessed = FileTime(status.st_atim)
    modified = FileTime(status.st_mtim)
    changed = FileTime(status.st_ctim)
  }
}

extension FileDescriptor {
  /// What the open file is (fstat(2)).
  public borrowing func status() throws(Errno) -> FileStatus {
    var status = stat()
    // SAFETY: the call fills a local of the right type.
    _ = try systemCall(retryOnInterrupt: false) { unsafe fstat(raw, &status) }
    return FileStatus(status)
  }
}
