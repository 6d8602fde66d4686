// SPDX-License-Identifier: Apache-2.0

import CLinux

/// Hears what happens to files, by whomever (inotify(7)).
///
/// What has happened is then to be looked at: an event says only that something may have.
public struct FileWatch: ~Copyable, Sendable {
  /// What can happen.
  public enum Event: Sendable {
    /// Somebody opens the file.
    case opened
    /// A name of the file goes, or another one comes.
    case renamed

    fileprivate var mask: UInt32 {
      switch self {
      case .opened: clinux_IN_OPEN
      // The number of names is one of a file's attributes.
      case .renamed: clinux_IN_ATTRIB | clinux_IN_MOVE_SELF
      }
    }
  }

  /// Readable when something has happened since `drain()`.
  public let descriptor: FileDescriptor

  /// Watches nothing yet.
  ///
  /// - Throws: `.tooManyOpenFiles` where the user has too many of these.
  public init() throws(Errno) {
    descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { clinux_inotify_init() })
  }

  /// Watches a file from now on.
  ///
  /// - Parameters:
  ///   - path: names the file now.
  ///   - event: what to hear of.
  /// - Throws: `.notFound`, `.accessDenied` where the file may not be read, `.noSpace` where the user watches
  ///   too many.
  public borrowing func add(_ path: String, for event: Event) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the path is a terminated string during the call.
      unsafe clinux_inotify_add_watch(descriptor.raw, path, event.mask)
    }
  }

  /// Forgets what has happened so far.
  public borrowing func drain() {
    // An event of a watched file has no name, and takes 16 bytes.
    var events = InlineArray<1024, UInt8>(repeating: 0)
    var span = events.mutableSpan
    while let count = try? descriptor.read(into: &span), count > 0 {}
  }
}
