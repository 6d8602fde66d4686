// SPDX-License-Identifier: Apache-2.0

import CLinux

/// Tells when a file is opened, by whomever (inotify(7)).
public struct OpenWatch: ~Copyable, Sendable {
  /// Readable when the file was opened since `drain()`.
  public let descriptor: FileDescriptor

  /// Watches the file that a path names now.
  ///
  /// - Throws: `.tooManyOpenFiles` where the user has too many such watches.
  public init(_ path: String) throws(Errno) {
    let descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { clinux_inotify_init() })
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the path is a terminated string during the call.
      unsafe clinux_inotify_add_watch(descriptor.raw, path, clinux_IN_OPEN)
    }
    self.descriptor = descriptor
  }

  /// Forgets what has happened so far.
  public borrowing func drain() {
    // An event of a watched file has no name, and takes 16 bytes.
    var events = InlineArray<1024, UInt8>(repeating: 0)
    var span = events.mutableSpan
    while let count = try? descriptor.read(into: &span), count > 0 {}
  }
}
