// SPDX-License-Identifier: Apache-2.0
//
// SpliceMemory: larger reads, from the image's page cache to the kernel's reply without a copy between.
//
// A reply goes through a pipe: a header, then pages of the image, which the pipe holds without copying them
// (splice(2)); the connection takes both out at once. That saves one of two copies, for some system calls and
// for the handling of each page, and wins from 128 KiB on: 1 MiB costs three quarters. Where anything is not as usual (an end of
// file, an error, a pipe that the user's limits keep small) the pipe is emptied, and the read is done through
// memory, which answers for all that.
//
// Not for disks of running guests: what is in the pipe is still the image, so nothing read from it could be
// looked at once more for writes that went on meanwhile.

import Backends
import CLinux
import Glibc
import Linux

/// A serving thread's pipe from images to its connection.
final class SplicePipe {
  /// From how many bytes on it is worth it.
  static let threshold = 128 << 10

  private let pipe: Pipe
  private let connection: Int32
  /// How many bytes of an image fit: each of the pipe's places takes a page or a piece of one.
  private let limit: Int
  /// The number of the request that the thread is about to serve.
  var unique: UInt64 = 0

  /// Makes a pipe; nil where the system leaves none that is large enough.
  ///
  /// - Parameter connection: where replies go.
  init?(to connection: Int32) {
    guard let pipe = try? Pipe() else { return nil }
    // More than fs.pipe-max-size is root's; a user who has many pipes gets none larger than they are.
    var size: Int32 = 2 << 20
    while clinux_set_pipe_size(pipe.writing.raw, size) < 0 {
      size /= 2
      guard size > Self.threshold else { return nil }
    }
    self.pipe = pipe
    self.connection = connection
    // One place for the header, one for a piece of a page at the end.
    limit = Int(size) - 2 * 4096
  }

  /// Answers a read.
  ///
  /// - Returns: whether the request was answered. Else nothing was said.
  func answer(_ file: OpenFile, _ offset: UInt64, _ count: Int) -> Bool {
    guard count >= Self.threshold, count <= limit, unique != 0, let image = file.image,
      !image.view.isLive, let piece = file.span.wholePiece(at: offset, UInt64(count))
    else { return false }
    let size = Self.headerSize + count
    guard writeHeader(size), fill(from: image.view.file.raw, piece.position, count) else {
      drain()
      return false
    }
    guard clinux_splice(pipe.reading.raw, nil, connection, size) == size else {
      drain()
      return false
    }
    return true
  }

  private static let headerSize = 16

  /// struct fuse_out_header.
  private func writeHeader(_ size: Int) -> Bool {
    var header = (length: UInt32(size), error: Int32(0), unique: unique)
    // SAFETY: a local of that size, which the kernel reads during the call.
    return unsafe withUnsafeBytes(of: &header) {
      unsafe write(pipe.writing.raw, $0.baseAddress, Self.headerSize) == Self.headerSize
    }
  }

  private func fill(from image: Int32, _ position: UInt64, _ count: Int) -> Bool {
    var place = Int(position)
    let end = place + count
    while place < end {
      // SAFETY: the call reads and moves a local; both descriptors are open as long as their owners.
      let got = unsafe clinux_splice(image, &place, pipe.writing.raw, end - place)
      guard got > 0 else { return false }
    }
    return true
  }

  private func drain() {
    while let bytes = try? pipe.reading.read(upTo: 1 << 16), !bytes.isEmpty {}
  }

  // MARK: The calling thread's

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    // SAFETY: the call fills a local; there is nothing to be done when a thread ends.
    unsafe pthread_key_create(&key, nil)
    return key
  }()

  /// Makes it the calling thread's. Its owner must `forget()` before it goes.
  func makeCurrent() {
    // SAFETY: only the address is kept, see `current`.
    unsafe pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque())
  }

  /// From now on the calling thread has none.
  static func forget() {
    pthread_setspecific(key, nil)
  }

  /// The calling thread's; nil for threads that have none, such as those that libfuse has made.
  static var current: SplicePipe? {
    // SAFETY: what is stored is an object that the calling thread holds.
    unsafe pthread_getspecific(key).map {
      unsafe Unmanaged<SplicePipe>.fromOpaque($0).takeUnretainedValue()
    }
  }
}
