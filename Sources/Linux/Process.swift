// SPDX-License-Identifier: Apache-2.0
//
// What this process can ask and set about itself.

import CLinux
import Glibc

/// This process.
public enum Process {
  /// Its number (getpid(2)).
  public static var id: Int32 { getpid() }

  /// Its command line, the program's name first. Unlike `CommandLine.arguments` it needs no /proc.
  public static var arguments: [String] {
    (0..<clinux_argument_count()).compactMap { index in
      // SAFETY: below the count each pointer is to a terminated string that lives as long as the process.
      guard let word = unsafe clinux_argument(index) else { return nil }
      return unsafe String(cString: word)
    }
  }

  /// The user that it acts for, 0 for root (geteuid(2)).
  public static var effectiveUser: UInt32 { geteuid() }

  /// The group that it acts for (getegid(2)).
  public static var effectiveGroup: UInt32 { getegid() }

  /// How much memory it may lock or have pinned, in bytes (RLIMIT_MEMLOCK of getrlimit(2)).
  public static var lockedMemoryLimit: UInt64 {
    clinux_memlock_limit()
  }

  /// How many descriptors it may have open (RLIMIT_NOFILE of getrlimit(2)).
  public static var descriptorLimit: UInt64 { clinux_descriptor_limit() }

  /// How long the files may become that it writes to, in bytes (RLIMIT_FSIZE of getrlimit(2)); `.max` where there
  /// is no limit.
  public static var fileSizeLimit: UInt64 { clinux_file_size_limit() }

  /// Sets how many descriptors it may have open, as far as the host allows: `.max` for all it does.
  public static func setDescriptorLimit(_ count: UInt64) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: false) { clinux_set_descriptor_limit(count) }
  }

  /// Opens /dev/null for each of the three standard streams that is closed: else the next file that is opened would
  /// become that stream, and what is printed would be written to it. To be called before anything else is opened.
  public static func openStandardStreams() throws(Errno) {
    for stream in STDIN_FILENO...STDERR_FILENO where fcntl(stream, F_GETFD) < 0 {
      // It gets the lowest number that is free.
      let null = try FileDescriptor.open("/dev/null", .readWrite).release()
      // Programs that this one starts are to have it, too.
      _ = try systemCall(retryOnInterrupt: false) { fcntl(null, F_SETFD, 0) }
    }
  }

  /// Sets which permissions are withheld from files that it makes (umask(2)).
  ///
  /// - Returns: the setting before.
  @discardableResult
  public static func setUmask(_ mask: UInt32) -> UInt32 {
    umask(mask)
  }

  /// How many descriptors it has open: for tests that show that none leaks.
  public static func openDescriptorCount() throws(Errno) -> Int {
    // SAFETY: the stream is closed on every way out and read only in between; the path is a
    // terminated string during the call.
    guard let directory = unsafe opendir("/proc/self/fd") else { throw .current }
    defer { unsafe closedir(directory) }
    var count = 0
    while unsafe readdir(directory) != nil { count += 1 }
    // Not counted: the entries "." and "..", and the directory itself.
    return count - 3
  }
}
