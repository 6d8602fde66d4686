// SPDX-License-Identifier: Apache-2.0
//
// ImageFile: an image as one queue sees it.
//
// Each queue has an open file of its own, not a duplicate of a common one: the kernel tells a write-back
// error once to each open file, so with a common one a failure could be told to one queue's fdatasync while
// another's, at the same moment, returns success for the same lost pages.
//
// With cache=none and cache=directsync the file is open twice. Direct transfers need positions and lengths that are multiples of
// the device's block, and memory that is aligned. Where only memory is not, an aligned buffer stands
// between; where position or length are not (the protocol's unit is 512 bytes, whatever the device's is),
// the transfer goes through the page cache, which reads and merges the rest of the block. The kernel
// keeps the two views of the file in step.

import Linux

/// What direct transfers ask for, in bytes: powers of two.
struct DirectAlignment: Sendable, Equatable {
  /// Of the memory.
  var memory: Int
  /// Of the position in the file and the length.
  var offset: Int
}

/// The open files of one queue.
struct ImageFile: ~Copyable, BlockFile {
  /// Through the page cache.
  let buffered: FileDescriptor
  /// Round it; nil where transfers go through the page cache.
  let direct: FileDescriptor?
  let alignment: DirectAlignment
  let isBuffered: Bool
  private let bounce: BounceBuffer?

  /// - Parameter bounces: false for a file that is held and no transfer made with: it needs no buffer.
  init(
    buffered: consuming FileDescriptor, direct: consuming FileDescriptor?,
    alignment: DirectAlignment, bounces: Bool = true
  ) {
    self.buffered = buffered
    isBuffered = direct == nil
    bounce = !isBuffered && bounces ? BounceBuffer() : nil
    self.direct = direct
    self.alignment = alignment
  }

  /// The same open files under new descriptors, for transfers.
  borrowing func duplicate() throws(Errno) -> ImageFile {
    var copy: FileDescriptor?
    switch direct {
    case .some(let direct): copy = try direct.duplicate()
    case .none: break
    }
    return ImageFile(
      buffered: try buffered.duplicate(), direct: copy, alignment: alignment)
  }

  /// The descriptor that most transfers go to.
  var mainDescriptor: Int32 {
    switch direct {
    case .some(let direct): direct.raw
    case .none: buffered.raw
    }
  }

  @inline(__always)
  borrowing func readCached(_ window: borrowing SegmentWindow, at offset: Int) -> Int? {
    // Going round the cache means to leave it alone.
    isBuffered ? window.readCached(from: buffered, at: offset) : nil
  }

  @inline(__always)
  borrowing func writeCached(_ window: borrowing SegmentWindow, at offset: Int) -> Int? {
    do throws(Errno) {
      let count = try window.write(to: buffered, at: offset)
      return count > 0 ? count : nil
    } catch {
      return nil
    }
  }

  @inline(__always)
  borrowing func isStraight(_ window: borrowing SegmentWindow, at offset: Int) -> Bool {
    isBuffered || (isOnBlocks(window, offset) && window.isAligned(to: alignment.memory))
  }

  private borrowing func isOnBlocks(_ window: borrowing SegmentWindow, _ offset: Int) -> Bool {
    (offset | window.byteCount) & (alignment.offset &- 1) == 0
  }

  borrowing func read(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int {
    switch direct {
    case .some(let direct) where isOnBlocks(window, offset):
      do throws(Errno) {
        if window.isAligned(to: alignment.memory) {
          return try window.read(from: direct, at: offset)
        }
        switch bounce {
        case .some(let bounce): return try bounce.read(window, from: direct, at: offset)
        case .none: break
        }
      } catch .invalidArgument {
        // The device wants more alignment than the kernel has told.
      }
    default: break
    }
    return try window.read(from: buffered, at: offset)
  }

  borrowing func write(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int {
    switch direct {
    case .some(let direct) where isOnBlocks(window, offset):
      do throws(Errno) {
        if window.isAligned(to: alignment.memory) {
          return try window.write(to: direct, at: offset)
        }
        switch bounce {
        case .some(let bounce): return try bounce.write(window, to: direct, at: offset)
        case .none: break
        }
      } catch .invalidArgument {
        // As above.
      }
    default: break
    }
    return try window.write(to: buffered, at: offset)
  }

  /// Always the same of two descriptors: the kernel tells each of them once of a write-back error,
  /// whoever wrote.
  borrowing func sync() throws(Errno) {
    switch direct {
    case .some(let direct): try direct.sync()
    case .none: try buffered.sync()
    }
  }
}
