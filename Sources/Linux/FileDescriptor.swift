// SPDX-License-Identifier: Apache-2.0
//
// An owned file descriptor: ownership, and reading and writing as a stream. What only files can do
// is in FileDescriptor+File.swift, kicks and calls are in FileDescriptor+Wakeup.swift, scatter and
// gather in VectoredIO.swift, messages with descriptors in Message.swift.

import Glibc

/// A file descriptor with exactly one owner, closed when the owner lets it go.
///
/// Every descriptor that this module makes is closed on exec.
public struct FileDescriptor: ~Copyable, Sendable {
  /// The number, for calls that this module does not have. It is valid while this value lives: a
  /// noncopyable value that nobody consumes lives to the end of its scope.
  public let raw: Int32

  /// Takes over an open descriptor, which this value will close.
  ///
  /// - Precondition: `raw` is not negative, and nobody else closes it.
  public init(owning raw: Int32) {
    precondition(raw >= 0, "not a file descriptor")
    self.raw = raw
  }

  deinit {
    // Not retried on EINTR: Linux has freed the number by then, and another thread may have it.
    _ = Glibc.close(raw)
  }

  /// Gives up ownership: the caller closes the returned number.
  public consuming func release() -> Int32 {
    let raw = raw
    discard self
    return raw
  }

  /// A second descriptor of the same open file (F_DUPFD_CLOEXEC).
  public borrowing func duplicate() throws(Errno) -> FileDescriptor {
    try .duplicating(raw)
  }

  /// An owned duplicate of a descriptor that somebody else owns, for example 0 for standard input.
  public static func duplicating(_ raw: Int32) throws(Errno) -> FileDescriptor {
    FileDescriptor(
      owning: try systemCall(retryOnInterrupt: true) {
        fcntl(raw, F_DUPFD_CLOEXEC, 3)
      })
  }

  /// Makes later calls on the open file fail with `.again` instead of waiting, or the reverse
  /// (O_NONBLOCK). The flag belongs to the open file, so everybody who shares it is concerned.
  public borrowing func setNonBlocking(_ on: Bool) throws(Errno) {
    let flags = try systemCall(retryOnInterrupt: false) { fcntl(raw, F_GETFL) }
    let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
    if wanted != flags {
      _ = try systemCall(retryOnInterrupt: false) { fcntl(raw, F_SETFL, wanted) }
    }
  }
}

// MARK: - Reading

extension FileDescriptor {
  /// Reads what is there, as many bytes as the span takes (read(2)).
  ///
  /// - Returns: the number of bytes read, 0 at the end of the file or when the peer is gone.
  public borrowing func read(into bytes: inout MutableSpan<UInt8>) throws(Errno) -> Int {
    // SAFETY: the kernel writes at most `count` bytes to the span's memory, during the call.
    try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      try systemCall(retryOnInterrupt: true) {
        unsafe Glibc.read(raw, buffer.baseAddress, buffer.count)
      }
    }
  }

  /// Reads what is there into the front of an array, which keeps its length.
  public borrowing func read(into bytes: inout [UInt8]) throws(Errno) -> Int {
    var span = bytes.mutableSpan
    return try read(into: &span)
  }

  /// Reads what is there, at most `limit` bytes; empty at the end of the file.
  public borrowing func read(upTo limit: Int) throws(Errno) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    let count = try read(into: &bytes)
    bytes.removeSubrange(count...)
    return bytes
  }

  /// Reads at a position of a file, which must be one that can be positioned (pread(2)).
  ///
  /// - Returns: the number of bytes read, fewer than asked for only near the end of the file.
  public borrowing func read(
    into bytes: inout MutableSpan<UInt8>, at offset: UInt64
  ) throws(Errno) -> Int {
    let offset = try Self.position(offset)
    // SAFETY: the kernel writes at most `count` bytes to the span's memory, during the call.
    return try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      try systemCall(retryOnInterrupt: true) {
        unsafe pread(raw, buffer.baseAddress, buffer.count, offset)
      }
    }
  }

  /// Reads at a position of a file into the front of an array, which keeps its length.
  public borrowing func read(into bytes: inout [UInt8], at offset: UInt64) throws(Errno) -> Int {
    var span = bytes.mutableSpan
    return try read(into: &span, at: offset)
  }
}

// MARK: - Writing

extension FileDescriptor {
  /// Writes as much as the kernel takes now (write(2)).
  ///
  /// A write to a pipe or socket without a reader also raises SIGPIPE in a thread that does not
  /// block it: see `Signal.ignore()`.
  ///
  /// - Returns: the number of bytes written.
  public borrowing func write(_ bytes: Span<UInt8>) throws(Errno) -> Int {
    // SAFETY: the kernel reads at most `count` bytes of the span's memory, during the call.
    try unsafe bytes.withUnsafeBufferPointer { buffer throws(Errno) in
      try systemCall(retryOnInterrupt: true) {
        unsafe Glibc.write(raw, buffer.baseAddress, buffer.count)
      }
    }
  }

  /// Writes as much of an array as the kernel takes now.
  public borrowing func write(_ bytes: [UInt8]) throws(Errno) -> Int {
    try write(bytes.span)
  }

  /// Writes all bytes, in as many calls as needed. For descriptors that wait: where it would have to
  /// wait and may not, it throws `.again` and part of the bytes may be written.
  public borrowing func writeAll(_ bytes: Span<UInt8>) throws(Errno) {
    var done = 0
    while done < bytes.count {
      done += try write(bytes.extracting(done...))
    }
  }

  /// Writes all bytes of an array, in as many calls as needed.
  public borrowing func writeAll(_ bytes: [UInt8]) throws(Errno) {
    try writeAll(bytes.span)
  }

  /// Writes at a position of a file (pwrite(2)).
  ///
  /// - Returns: the number of bytes written.
  public borrowing func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(Errno) -> Int {
    let offset = try Self.position(offset)
    // SAFETY: the kernel reads at most `count` bytes of the span's memory, during the call.
    return try unsafe bytes.withUnsafeBufferPointer { buffer throws(Errno) in
      try systemCall(retryOnInterrupt: true) {
        unsafe pwrite(raw, buffer.baseAddress, buffer.count, offset)
      }
    }
  }

  /// Writes an array at a position of a file.
  public borrowing func write(_ bytes: [UInt8], at offset: UInt64) throws(Errno) -> Int {
    try write(bytes.span, at: offset)
  }

  /// A position or length as the kernel wants it. Those past 2^63 - 1 are never valid.
  static func position(_ offset: UInt64) throws(Errno) -> off_t {
    guard let position = off_t(exactly: offset) else { throw .invalidArgument }
    return position
  }
}
