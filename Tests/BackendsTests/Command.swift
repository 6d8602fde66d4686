// SPDX-License-Identifier: Apache-2.0
//
// Command: another program, run to its end or until it is told to stop.

import Glibc
import HostTesting
import Linux

/// A program with its arguments.
struct Command {
  let name: String
  let arguments: [String]

  init(_ name: String, _ arguments: [String]) {
    self.name = name
    self.arguments = arguments
  }

  struct Result {
    /// The exit code; 128 and the signal's number for one that was killed.
    var code: Int32
    /// What it wrote, errors included.
    var output: [UInt8]

    var text: String { String(decoding: output, as: UTF8.self) }
  }

  /// Runs it to its end.
  func run() throws -> Result {
    let running = try start()
    return running.finish()
  }

  /// Starts it.
  func start() throws -> RunningCommand {
    // Closed on exec, both: a program that another test starts meanwhile must not keep an end.
    let pair = try UnixSocket.pair()
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, pair.second.raw, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, pair.second.raw, 2)
    var words = unsafe ([name] + arguments).map { unsafe strdup($0) }
    unsafe words.append(nil)
    defer { for index in unsafe words.indices { unsafe free(words[index]) } }
    var process: pid_t = 0
    let code = unsafe posix_spawnp(&process, name, &actions, nil, words, environ)
    guard code == 0 else { throw Errno(rawValue: code) }
    return RunningCommand(process: process, reader: try pair.first.duplicate())
  }
}

/// A program that runs. It is killed when it is let go.
final class RunningCommand {
  let process: pid_t
  private let reader: FileDescriptor
  private var output: [UInt8] = []
  private var code: Int32?

  init(process: pid_t, reader: consuming FileDescriptor) {
    self.process = process
    self.reader = reader
  }

  deinit { end() }

  /// Kills it and waits for its end.
  func end() {
    guard code == nil else { return }
    kill(process, SIGKILL)
    _ = wait()
  }

  /// Waits until it has written a text. - Returns: false where it ends before, or writes something else
  /// for too long.
  func awaitOutput(_ text: String) throws -> Bool {
    let end = ContinuousClock.now + soon
    while !String(decoding: output, as: UTF8.self).contains(text) {
      let left = end - ContinuousClock.now
      guard left > .zero,
        try !Poll.wait(for: .readable, on: reader, timeout: left).isEmpty
      else { return false }
      let more = try reader.read(upTo: 4096)
      guard !more.isEmpty else { return false }
      output += more
    }
    return true
  }

  /// Reads its output to the end, and waits for it.
  func finish() -> Command.Result {
    while let more = try? reader.read(upTo: 4096), !more.isEmpty { output += more }
    return Command.Result(code: wait(), output: output)
  }

  private func wait() -> Int32 {
    if let code { return code }
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) == -1, errno == EINTR {}
    let ended = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    code = ended
    return ended
  }
}
