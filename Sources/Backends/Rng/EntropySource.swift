// SPDX-License-Identifier: Apache-2.0

import Linux

/// An open source of random bytes, which never waits.
enum EntropySource: ~Copyable, Sendable {
  /// getrandom(2).
  case kernel
  /// Anything that can be read, with O_NONBLOCK.
  case file(FileDescriptor)

  /// Opens a source.
  ///
  /// A FIFO is opened for writing too, so that it does not end when its last writer leaves: the next
  /// one may come.
  init(_ source: RngOptions.Source) throws(DeviceError) {
    switch source {
    case .kernel: self = .kernel
    case .file(let path):
      do throws(Errno) {
        var file = try FileDescriptor.open(path, [.readOnly, .nonBlocking])
        switch try file.status().kind {
        case .directory: throw .isDirectory
        case .fifo: file = try .open(path, [.readWrite, .nonBlocking])
        default: break
        }
        self = .file(file)
      } catch {
        throw DeviceError(
          "open the entropy source \(path)", "\(error); name another, or none for the kernel's own")
      }
    }
  }

  /// What becomes readable when there is more; -1 where nothing does.
  var descriptor: Int32 {
    switch self {
    case .kernel: -1
    case .file(let file): file.raw
    }
  }

  /// Fills the front of a window. - Returns: bytes written, 0 where the source has ended.
  borrowing func read(into window: borrowing SegmentWindow) throws(Errno) -> Int {
    switch self {
    case .kernel: try window.fillWithRandom()
    case .file(let file): try window.read(from: file)
    }
  }

  /// The same source for another thread.
  borrowing func duplicate() throws(Errno) -> EntropySource {
    switch self {
    case .kernel: .kernel
    case .file(let file): .file(try file.duplicate())
    }
  }
}
