// SPDX-License-Identifier: Apache-2.0
//
// The one error type of this module: the errno that a system call left behind.

import Glibc

/// Why a system call failed (errno(3)).
public struct Errno: RawRepresentable, Error, Sendable, Hashable, CustomStringConvertible {
  /// The number, as in `errno`.
  public let rawValue: Int32

  /// Wraps an errno number, for example the negated result of an io_uring request.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// What the last failed call of this thread left in `errno`. Read it at once: any call may change it.
  public static var current: Errno { Errno(rawValue: Glibc.errno) }

  /// The C library's text, for example "No space left on device" (strerror(3)).
  public var description: String {
    var text = [CChar](repeating: 0, count: 128)
    // SAFETY: the buffer is 128 bytes long and lives for the whole call, which writes a terminated
    // string into it (the POSIX form of strerror_r, the one that Swift imports).
    unsafe text.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      _ = unsafe strerror_r(rawValue, base, buffer.count)
    }
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

extension Errno {
  /// The call would have to wait, and waiting was not wanted (EAGAIN, EWOULDBLOCK).
  public static let again = Errno(rawValue: EAGAIN)
  /// A signal arrived before the call did anything (EINTR).
  public static let interrupted = Errno(rawValue: EINTR)
  /// The file system or the device is full (ENOSPC).
  public static let noSpace = Errno(rawValue: ENOSPC)
  /// The user's disk quota is used up (EDQUOT).
  public static let quotaExceeded = Errno(rawValue: EDQUOT)
  /// The device failed (EIO).
  public static let io = Errno(rawValue: EIO)
  /// The descriptor is closed, or not open in the needed direction (EBADF).
  public static let badFileDescriptor = Errno(rawValue: EBADF)
  /// The descriptor is open, but was not set up for this (EBADFD).
  public static let badDescriptorState = Errno(rawValue: EBADFD)
  /// The kernel met an address that is not mapped (EFAULT).
  public static let badAddress = Errno(rawValue: EFAULT)
  /// There is no such file (ENOENT).
  public static let notFound = Errno(rawValue: ENOENT)
  /// The file is there already (EEXIST).
  public static let exists = Errno(rawValue: EEXIST)
  /// A privilege is missing (EPERM).
  public static let permission = Errno(rawValue: EPERM)
  /// The file's permissions forbid it (EACCES).
  public static let accessDenied = Errno(rawValue: EACCES)
  /// The file system is mounted read-only (EROFS).
  public static let readOnlyFileSystem = Errno(rawValue: EROFS)
  /// An argument makes no sense to the call (EINVAL).
  public static let invalidArgument = Errno(rawValue: EINVAL)
  /// The reader of a pipe or socket is gone (EPIPE).
  public static let brokenPipe = Errno(rawValue: EPIPE)
  /// The peer of a socket is gone (ECONNRESET).
  public static let connectionReset = Errno(rawValue: ECONNRESET)
  /// Nobody listens on that socket (ECONNREFUSED).
  public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
  /// The connection was ended by its other side (ECONNABORTED).
  public static let connectionAborted = Errno(rawValue: ECONNABORTED)
  /// The socket is not connected (ENOTCONN).
  public static let notConnected = Errno(rawValue: ENOTCONN)
  /// A socket has that address already (EADDRINUSE).
  public static let addressInUse = Errno(rawValue: EADDRINUSE)
  /// There is no such address here (EADDRNOTAVAIL).
  public static let addressNotAvailable = Errno(rawValue: EADDRNOTAVAIL)
  /// The object does not know this operation (EOPNOTSUPP, on Linux the same as ENOTSUP).
  public static let notSupported = Errno(rawValue: EOPNOTSUPP)
  /// The device does not know this ioctl: often "not a terminal" (ENOTTY).
  public static let inappropriateIoctl = Errno(rawValue: ENOTTY)
  /// The kernel does not know this system call (ENOSYS).
  public static let notImplemented = Errno(rawValue: ENOSYS)
  /// Somebody else uses it (EBUSY).
  public static let busy = Errno(rawValue: EBUSY)
  /// No memory, or no address space (ENOMEM).
  public static let noMemory = Errno(rawValue: ENOMEM)
  /// A socket has no room, and something was lost (ENOBUFS).
  public static let noBuffers = Errno(rawValue: ENOBUFS)
  /// There is no such device (ENODEV).
  public static let noSuchDevice = Errno(rawValue: ENODEV)
  /// There is no such device or address, or no reader on a FIFO (ENXIO).
  public static let noSuchDeviceOrAddress = Errno(rawValue: ENXIO)
  /// There is no such process (ESRCH).
  public static let noSuchProcess = Errno(rawValue: ESRCH)
  /// A component of the path is not a directory (ENOTDIR).
  public static let notDirectory = Errno(rawValue: ENOTDIR)
  /// The path names a directory (EISDIR).
  public static let isDirectory = Errno(rawValue: EISDIR)
  /// The path, or a component of it, is too long (ENAMETOOLONG).
  public static let nameTooLong = Errno(rawValue: ENAMETOOLONG)
  /// This process has too many open files (EMFILE).
  public static let tooManyOpenFiles = Errno(rawValue: EMFILE)
  /// The file would become too large (EFBIG).
  public static let fileTooLarge = Errno(rawValue: EFBIG)
  /// The file cannot be positioned: it is a pipe, socket or terminal (ESPIPE).
  public static let illegalSeek = Errno(rawValue: ESPIPE)
  /// A message is too long for its socket (EMSGSIZE).
  public static let messageTooLong = Errno(rawValue: EMSGSIZE)
  /// Time ran out (ETIMEDOUT).
  public static let timedOut = Errno(rawValue: ETIMEDOUT)
  /// The operation was cancelled (ECANCELED).
  public static let canceled = Errno(rawValue: ECANCELED)
}
