// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// A program started to outlive this one.
public enum DetachedProcess {
  /// The number under which a program finds the descriptor that it was passed.
  public static let passedDescriptor: Int32 = 3

  /// Starts this very program anew, in a session of its own (posix_spawn(3)).
  ///
  /// Its standard input is /dev/null; its outputs are this program's.
  ///
  /// - Parameters:
  ///   - arguments: with the program's name in front.
  ///   - descriptor: what it gets as `passedDescriptor`.
  /// - Returns: its number, for `wait`.
  public static func startSelf(
    _ arguments: [String], passing descriptor: borrowing FileDescriptor
  ) throws(Errno) -> Int32 {
    // SAFETY: see below.
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    var pid: pid_t = 0
    let raw = descriptor.raw
    // SAFETY: both structures are locals, initialised here and destroyed on every way out; the strings are
    // copies of our own, freed at the end, in an array that ends with nil.
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
      unsafe words.forEach { unsafe free($0) }
    }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, raw, passedDescriptor)
    unsafe posix_spawnattr_setflags(&attributes, Int16(clinux_POSIX_SPAWN_SETSID))
    // SAFETY: as above.
    let code = unsafe posix_spawn(
      &pid, "/proc/self/exe", &actions, &attributes, &words, clinux_environ())
    guard code == 0 else { throw Errno(rawValue: code) }
    return pid
  }

  /// Waits for a program's end. - Returns: its exit code; nil where a signal ended it.
  public static func wait(_ pid: Int32) throws(Errno) -> Int32? {
    var status: Int32 = 0
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call fills a local.
      unsafe waitpid(pid, &status, 0)
    }
    return status & 0x7f == 0 ? status >> 8 & 0xff : nil
  }

  /// Lets go of the standard streams, which lead to /dev/null from now on (dup2(2)).
  public static func leaveStandardStreams() throws(Errno) {
    let nowhere = try FileDescriptor.open("/dev/null", .readWrite)
    for raw: Int32 in 0...2 {
      _ = try systemCall(retryOnInterrupt: true) { dup2(nowhere.raw, raw) }
    }
  }
}
