// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// Another program that is run to its end.
public enum HelperProcess {
  /// Runs a program, which is looked for in the directories of PATH (posix_spawnp(3)), and waits for its end. Its
  /// standard streams are /dev/null.
  ///
  /// - Parameter arguments: with the program's name in front.
  /// - Returns: its exit code; nil where a signal ended it.
  public static func run(_ arguments: [String]) throws(Errno) -> Int32? {
    // SAFETY: the structure is a local, initialised here and destroyed on every way out; the strings are
    // copies of our own, freed at the end, in an array that ends with nil.
    var actions = unsafe posix_spawn_file_actions_t()
    var pid: pid_t = 0
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    unsafe posix_spawn_file_actions_init(&actions)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe words.forEach { unsafe free($0) }
    }
    for stream in STDIN_FILENO...STDERR_FILENO {
      unsafe posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0)
    }
    // SAFETY: as above.
    let code = unsafe posix_spawnp(&pid, arguments[0], &actions, nil, &words, clinux_environ())
    guard code == 0 else { throw Errno(rawValue: code) }
    return try DetachedProcess.wait(pid)
  }
}
