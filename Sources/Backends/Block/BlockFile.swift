// SPDX-License-Identifier: Apache-2.0
//
// BlockFile: the calls that an engine makes on an image. A protocol so that tests can put a recorder, or a
// disk that fails, in the image's place; engines are generic over it, and nothing is dispatched at run time.

import Linux

protocol BlockFile: ~Copyable, Sendable {
  /// Reads into the first bytes of a window (preadv(2)). - Returns: how many, 0 at the end.
  borrowing func read(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int

  /// Writes the first bytes of a window (pwritev(2)). - Returns: how many.
  borrowing func write(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int

  /// Reads what the page cache has, without waiting (preadv2(2), RWF_NOWAIT).
  ///
  /// - Returns: how many bytes; nil where that is nothing, or an error: then `read` will say what.
  borrowing func readCached(_ window: borrowing SegmentWindow, at offset: Int) -> Int?

  /// Whether transfers go through the page cache.
  var isBuffered: Bool { get }

  /// Writes into the page cache, as `write` does. That may wait for storage: for the rest of a page that is written
  /// in part, for a journal, for others' dirty pages.
  ///
  /// - Returns: how many bytes; nil after an error: then the ring will meet it again.
  borrowing func writeCached(_ window: borrowing SegmentWindow, at offset: Int) -> Int?

  /// Whether a ring may do this transfer on the file's main descriptor, without an aligned buffer or
  /// another descriptor in between.
  borrowing func isStraight(_ window: borrowing SegmentWindow, at offset: Int) -> Bool

  /// Makes durable what was written (fdatasync(2)).
  borrowing func sync() throws(Errno)
}

extension BlockFile where Self: ~Copyable {
  /// Transfers all that a window selects, in as many calls as it takes.
  ///
  /// - Throws: `.io` where the file ends too early.
  @inline(__always)
  borrowing func transfer(
    _ kind: BlockRequest.Kind, _ window: inout SegmentWindow, at start: Int
  ) throws(Errno) {
    var offset = start
    while window.byteCount > 0 {
      let count =
        kind == .read ? try read(window, at: offset) : try write(window, at: offset)
      guard count > 0 else { throw .io }
      window.advance(by: count)
      offset &+= count
    }
  }
}
