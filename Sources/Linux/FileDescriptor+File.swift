// SPDX-License-Identifier: Apache-2.0
//
// What can be done with files and block devices, besides reading and writing.

import CLinux
import Glibc

extension FileDescriptor {
  /// Opens a file, closed on exec (open(2)).
  ///
  /// - Parameters:
  ///   - path: from the working directory, unless it starts with a slash.
  ///   - flags: how.
  ///   - mode: the permissions of a file that is made, less the umask.
  public static func open(
    _ path: String, _ flags: OpenFlags = .readOnly, mode: UInt32 = 0o666
  ) throws(Errno) -> FileDescriptor {
    FileDescriptor(
      owning: try systemCall(retryOnInterrupt: true) {
        // SAFETY: the path is a terminated string during the call.
        unsafe Glibc.open(path, flags.rawValue | O_CLOEXEC, mode)
      })
  }

  /// Makes what was written so far durable, with the metadata needed to read it (fdatasync(2)).
  ///
  /// - Throws: what the device said. After a failure the kernel may have dropped the data, and trying
  ///   again would succeed without having written it.
  public borrowing func sync() throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) { fdatasync(raw) }
  }

  /// Sets the file's size; what is added reads as zeros (ftruncate(2)).
  public borrowing func truncate(to size: UInt64) throws(Errno) {
    let size = try Self.position(size)
    _ = try systemCall(retryOnInterrupt: true) { ftruncate(raw, size) }
  }

  /// What `allocate` does with its range (fallocate(2)).
  public enum Allocation: Sendable {
    /// Space is reserved, and the file grows when the range ends behind its end.
    case extend
    /// Space is reserved, the size stays.
    case reserve
    /// The range reads as zeros and its space is given back; the size stays (discard).
    case punchHole
    /// The range reads as zeros and its space is kept; the size stays.
    case zero
  }

  /// Changes how a range of the file is allocated (fallocate(2)).
  ///
  /// - Throws: `.notSupported` where the file system cannot, `.noSpace`, `.invalidArgument` for a
  ///   range of nothing.
  public borrowing func allocate(
    _ what: Allocation, at offset: UInt64, count: UInt64
  ) throws(Errno) {
    let mode =
      switch what {
      case .extend: Int32(0)
      case .reserve: clinux_FALLOC_FL_KEEP_SIZE
      case .punchHole: clinux_FALLOC_FL_PUNCH_HOLE | clinux_FALLOC_FL_KEEP_SIZE
      case .zero: clinux_FALLOC_FL_ZERO_RANGE | clinux_FALLOC_FL_KEEP_SIZE
      }
    let offset = try Self.position(offset)
    let count = try Self.position(count)
    _ = try systemCall(retryOnInterrupt: true) { clinux_fallocate(raw, mode, offset, count) }
  }

  /// The next position from `offset` on that has data; nil when only a hole follows (SEEK_DATA).
  ///
  /// Like `seekHole(from:)` this moves the position for stream reads.
  public borrowing func seekData(from offset: UInt64) throws(Errno) -> UInt64? {
    try seek(from: offset, clinux_SEEK_DATA)
  }

  /// The next position from `offset` on that is in a hole; the end of the file counts as one
  /// (SEEK_HOLE). Nil when `offset` is at or behind the end.
  public borrowing func seekHole(from offset: UInt64) throws(Errno) -> UInt64? {
    try seek(from: offset, clinux_SEEK_HOLE)
  }

  private borrowing func seek(from offset: UInt64, _ whence: Int32) throws(Errno) -> UInt64? {
    let offset = try Self.position(offset)
    do throws(Errno) {
      return UInt64(try systemCall(retryOnInterrupt: false) { lseek(raw, offset, whence) })
    } catch .noSuchDeviceOrAddress {
      return nil
    }
  }
}

// MARK: - Block devices

extension FileDescriptor {
  /// The size of a block device in bytes (BLKGETSIZE64).
  public borrowing func blockDeviceSize() throws(Errno) -> UInt64 {
    var size: UInt64 = 0
    // SAFETY: the call writes eight bytes to a local of eight bytes.
    _ = try systemCall(retryOnInterrupt: false) { unsafe clinux_blkgetsize64(raw, &size) }
    return size
  }

  /// The smallest unit of a block device's transfers, in bytes (BLKSSZGET).
  public borrowing func logicalBlockSize() throws(Errno) -> Int {
    var size: Int32 = 0
    // SAFETY: the call writes an int to a local int.
    _ = try systemCall(retryOnInterrupt: false) { unsafe clinux_blksszget(raw, &size) }
    return Int(size)
  }

  /// The unit that a block device writes without reading first, in bytes (BLKPBSZGET).
  public borrowing func physicalBlockSize() throws(Errno) -> Int {
    var size: UInt32 = 0
    // SAFETY: the call writes an unsigned int to a local one.
    _ = try systemCall(retryOnInterrupt: false) { unsafe clinux_blkpbszget(raw, &size) }
    return Int(size)
  }

  /// Whether a block device refuses writes, though it can be opened for them (BLKROGET).
  public borrowing func isReadOnlyBlockDevice() throws(Errno) -> Bool {
    var isReadOnly: Int32 = 0
    // SAFETY: the call writes an int to a local int.
    _ = try systemCall(retryOnInterrupt: false) { unsafe clinux_blkroget(raw, &isReadOnly) }
    return isReadOnly != 0
  }

  /// Throws away the content of a range of a block device; what it reads as is the device's choice
  /// (BLKDISCARD).
  public borrowing func discardBlocks(at offset: UInt64, count: UInt64) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) { clinux_blkdiscard(raw, offset, count) }
  }

  /// Makes a range of a block device read as zeros (BLKZEROOUT).
  public borrowing func zeroBlocks(at offset: UInt64, count: UInt64) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) { clinux_blkzeroout(raw, offset, count) }
  }
}

extension FileDescriptor.Allocation {
  /// What a mode of fallocate(2) means.
  ///
  /// - Throws: `.notSupported` for those that move data about.
  public init(mode: Int32) throws(Errno) {
    let keep = clinux_FALLOC_FL_KEEP_SIZE
    switch mode {
    case 0: self = .extend
    case keep: self = .reserve
    case clinux_FALLOC_FL_PUNCH_HOLE | keep: self = .punchHole
    case clinux_FALLOC_FL_ZERO_RANGE, clinux_FALLOC_FL_ZERO_RANGE | keep: self = .zero
    default: throw .notSupported
    }
  }
}
