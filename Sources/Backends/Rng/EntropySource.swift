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
  /// one may come. Of everything else a byte is read for a trial: a source that never has one would keep
  /// its guest waiting for ever.
  init(_ source: RngOptions.Source) throws(DeviceError) {
    switch source {
    case .kernel: self = .kernel
    case .file(let path): self = .file(try Self.open(path))
    }
  }

  private static func open(_ path: String) throws(DeviceError) -> FileDescriptor {
    let action = "open the entropy source \(path)"
    let advice = "name another, or none for the kernel's own"
    do throws(Errno) {
      let file = try FileDescriptor.open(path, [.readOnly, .nonBlocking])
      let kind = try file.status().kind
      if kind == .directory { throw .isDirectory }
      if kind == .fifo { return try .open(path, [.readWrite, .nonBlocking]) }
      if try !isEmpty(file, kind) { return file }
    } catch {
      throw DeviceError(action, "\(error); \(advice)")
    }
    throw DeviceError(action, "it is empty; \(advice)")
  }

  /// Whether a source gives an end where it should give a byte. One that has nothing yet is not empty.
  private static func isEmpty(
    _ file: borrowing FileDescriptor, _ kind: FileStatus.Kind
  ) throws(Errno) -> Bool {
    var byte: [UInt8] = [0]
    do throws(Errno) {
      // What a regular file begins with is still to be given.
      let count =
        kind == .regular ? try file.read(into: &byte, at: 0) : try file.read(into: &byte)
      return count == 0
    } catch .again {
      return false
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
