// SPDX-License-Identifier: Apache-2.0
//
// How a file is opened.

import CLinux
import Glibc

/// How a file is opened (open(2)). O_CLOEXEC is always added.
public struct OpenFlags: OptionSet, Sendable, Hashable {
  /// The bits, as for open(2).
  public let rawValue: Int32

  /// Makes a set from its bits.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// For reading: what no other access flag means (O_RDONLY, 0).
  public static let readOnly = OpenFlags(rawValue: O_RDONLY)
  /// For writing (O_WRONLY).
  public static let writeOnly = OpenFlags(rawValue: O_WRONLY)
  /// For both (O_RDWR).
  public static let readWrite = OpenFlags(rawValue: O_RDWR)
  /// Make the file when it is not there (O_CREAT).
  public static let create = OpenFlags(rawValue: O_CREAT)
  /// With `.create`: fail when it is there. Without, of a block device: fail with `.busy` when it is mounted or used
  /// otherwise by the system, and keep it from being so while it is open; of other files nothing (O_EXCL).
  public static let exclusive = OpenFlags(rawValue: O_EXCL)
  /// Cut the file to nothing (O_TRUNC).
  public static let truncate = OpenFlags(rawValue: O_TRUNC)
  /// Write always at the end (O_APPEND).
  public static let append = OpenFlags(rawValue: O_APPEND)
  /// Never wait (O_NONBLOCK).
  public static let nonBlocking = OpenFlags(rawValue: O_NONBLOCK)
  /// Do not make a terminal the controlling one (O_NOCTTY).
  public static let noControllingTerminal = OpenFlags(rawValue: O_NOCTTY)
  /// Go round the page cache, with aligned buffers, positions and sizes (O_DIRECT).
  public static let direct = OpenFlags(rawValue: clinux_O_DIRECT)
  /// Each write returns when its data is durable (O_DSYNC).
  public static let dataSync = OpenFlags(rawValue: O_DSYNC)
  /// Fail unless it is a directory (O_DIRECTORY).
  public static let directory = OpenFlags(rawValue: O_DIRECTORY)
  /// Fail when the last component is a symbolic link (O_NOFOLLOW).
  public static let noFollow = OpenFlags(rawValue: O_NOFOLLOW)
  /// A nameless file in the given directory (O_TMPFILE).
  public static let temporary = OpenFlags(rawValue: clinux_O_TMPFILE)
}
