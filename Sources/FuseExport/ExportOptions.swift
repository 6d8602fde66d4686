// SPDX-License-Identifier: Apache-2.0

public import Backends
import Linux

/// How disks are shown.
public struct ExportOptions: Sendable {
  /// Where: an empty directory, or, for one disk, a plain file, which becomes the disk.
  public var mountPoint: String
  /// The images' format; where it is nil, an image that looks like one of another format than raw is refused.
  public var format: BlockOptions.Format?
  /// The size of a sector that the guest sees, 512 or 4096; nil where it is not known. A block device has its own,
  /// and a disk that is served has the one that its driver is told.
  public var sectorSize: Int?
  /// Whether a GPT counts that Linux does not see: see `DiskLayout.read`.
  public var usesLostGPT = false
  /// Whether a disk may be made longer and shorter, by truncation and by writing past its end.
  public var isGrowable = false
  /// The owner of what is shown; this process's user by default.
  public var user: UInt32
  /// The group of what is shown; this process's by default.
  public var group: UInt32
  /// The permission bits of disks and partitions; 0600 or, for what cannot be written, 0400 by default.
  /// Directories can be searched by whoever may read.
  public var mode: UInt32?
  /// Whether other users may look, as far as the permission bits let them.
  public var allowsOthers = false
  /// Whether fusermount3 watches, and unmounts when this process dies.
  public var unmountsItself = false
  /// Whether the directory may have entries, which are hidden meanwhile.
  public var coversEntries = false
  /// Further options for mount(2) and fusermount3(1), such as `noexec`.
  public var mountOptions: [String] = []
  /// How many threads serve requests; nil for what suits the machine.
  public var threadCount: Int?
  /// Whether the kernel may serve transfers by itself, where it can (FUSE passthrough).
  public var usesPassthrough = true
  /// Told a line when the host fails a request, at most one a second, on any thread.
  public var onTrouble: (@Sendable (String) -> Void)?

  /// Read-only for the user alone, by default.
  public init(mountPoint: String) {
    self.mountPoint = mountPoint
    user = Process.effectiveUser
    group = Process.effectiveGroup
  }
}

/// Why disks cannot be shown: one line.
public struct ExportError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What, which, what to do.
  public let description: String

  /// Wraps a line.
  public init(_ description: String) { self.description = description }
}
