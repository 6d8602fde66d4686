// SPDX-License-Identifier: Apache-2.0
//
// Files that live in memory and have no name: what guest memory and in-flight regions are made of.

import CLinux
import Glibc

/// What can no longer be done to a memory file (F_ADD_SEALS of fcntl(2)).
public struct Seals: OptionSet, Sendable, Hashable {
  /// The bits, as for fcntl(2).
  public let rawValue: Int32

  /// Makes a set from its bits.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// It cannot shrink, so a mapping of it is never cut off (F_SEAL_SHRINK).
  public static let shrink = Seals(rawValue: clinux_F_SEAL_SHRINK)
  /// It cannot grow (F_SEAL_GROW).
  public static let grow = Seals(rawValue: clinux_F_SEAL_GROW)
  /// It cannot be written, nor mapped for writing (F_SEAL_WRITE).
  public static let write = Seals(rawValue: clinux_F_SEAL_WRITE)
  /// It cannot be written but through mappings that are there already (F_SEAL_FUTURE_WRITE, Linux 5.1).
  public static let futureWrite = Seals(rawValue: clinux_F_SEAL_FUTURE_WRITE)
  /// No more seals can be set (F_SEAL_SEAL).
  public static let seal = Seals(rawValue: clinux_F_SEAL_SEAL)
}

/// Makes memory files (memfd_create(2)).
public enum Memfd {
  /// Makes a memory file of zeros that can be sealed.
  ///
  /// - Parameters:
  ///   - name: shown in /proc/PID/maps, need not be unique; 249 bytes at most.
  ///   - size: in bytes.
  ///   - hugePages: whether it is made of the system's default huge pages (MFD_HUGETLB).
  public static func create(
    name: String, size: UInt64, hugePages: Bool = false
  ) throws(Errno) -> FileDescriptor {
    let flags =
      clinux_MFD_CLOEXEC | clinux_MFD_ALLOW_SEALING | (hugePages ? clinux_MFD_HUGETLB : 0)
    let file = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) {
        // SAFETY: the name is a terminated string during the call.
        unsafe clinux_memfd_create(name, flags)
      })
    try file.truncate(to: size)
    return file
  }
}

extension FileDescriptor {
  /// Forbids things to everybody who has this memory file, for ever.
  ///
  /// - Throws: `.permission` when it is sealed against more seals, `.busy` for `.write` while there
  ///   is a shared mapping for writing, `.invalidArgument` when it is no memory file.
  public borrowing func addSeals(_ seals: Seals) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: false) {
      fcntl(raw, clinux_F_ADD_SEALS, seals.rawValue)
    }
  }

  /// What is forbidden for this memory file.
  ///
  /// - Throws: `.invalidArgument` when it is no memory file.
  public borrowing func seals() throws(Errno) -> Seals {
    Seals(
      rawValue: try systemCall(retryOnInterrupt: false) { fcntl(raw, clinux_F_GET_SEALS) })
  }
}
