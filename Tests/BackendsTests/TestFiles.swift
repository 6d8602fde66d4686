// SPDX-License-Identifier: Apache-2.0
//
// What these tests see of a device: how much it says, and whether its threads sleep.

import Glibc
import HostTesting
import Linux
import Synchronization

/// How many lines a device that reports one a second may have reported since a moment.
func lineLimit(since start: ContinuousClock.Instant) -> Int {
  Int((ContinuousClock.now - start).components.seconds) + 1
}

/// How long threads of this process with a name have wanted a processor so far: the time that they had one,
/// and the time that they waited for one. A thread that spins wants one all the time, however busy the
/// machine is; one that sleeps does not.
///
/// Waits for the first of them to have begun, which takes long where many tests run at once.
func wantedTime(ofThreads name: String) throws -> Duration {
  try awaitTime(ofThreads: name, fields: 2)
}

/// How long they have had one: for threads that do not spin the same on a busy machine.
func usedTime(ofThreads name: String) throws -> Duration {
  try awaitTime(ofThreads: name, fields: 1)
}

private func awaitTime(ofThreads name: String, fields: Int) throws -> Duration {
  var found = Duration.zero
  let hasBegun = try eventually {
    found = try time(ofThreads: name, fields: fields)
    return found > .zero
  }
  guard hasBegun else { throw NoSuchThread(name: name) }
  return found
}

/// Whether threads of this process with a name are asleep for most of the time in which something is done.
///
/// A thread that is woken once can wait long for a processor that many want, so a thread that wants one
/// for half of the time has two more chances. One that spins wants it all the time.
func isAsleep(
  threads name: String, while body: () throws -> Void = { pause(.milliseconds(300)) }
) throws -> Bool {
  for _ in 0..<3 {
    let start = ContinuousClock.now
    let before = try wantedTime(ofThreads: name)
    try body()
    let wanted = try wantedTime(ofThreads: name) - before
    if wanted < (ContinuousClock.now - start) / 2 { return true }
  }
  return false
}

private struct NoSuchThread: Error {
  let name: String
}

/// The first fields of their statistics: on a processor, waiting for one.
private func time(ofThreads name: String, fields count: Int) throws -> Duration {
  var nanoseconds = 0
  guard let directory = unsafe opendir("/proc/self/task") else { throw Errno.current }
  defer { unsafe closedir(directory) }
  while let entry = unsafe readdir(directory) {
    let thread = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    guard let comm = try? readText("/proc/self/task/\(thread)/comm"), comm == "\(name)\n",
      let statistics = try? readText("/proc/self/task/\(thread)/schedstat")
    else { continue }
    let fields = statistics.split(whereSeparator: \.isWhitespace)
    for field in fields.prefix(count) { nanoseconds += Int(field) ?? 0 }
  }
  return .nanoseconds(nanoseconds)
}

private func readText(_ path: String) throws -> String {
  String(decoding: try FileDescriptor.open(path, .readOnly).read(upTo: 4096), as: UTF8.self)
}
