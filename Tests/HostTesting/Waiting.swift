// SPDX-License-Identifier: Apache-2.0
//
// Waiting for what other threads, other processes and the kernel do.
//
// All tests run beside each other in one process. A program that any of them starts has copies of all the
// descriptors of this process for a moment: from its fork until it becomes another program. So what goes with the
// last of its descriptors (a tap, a lock, a listening socket, a pipe's end) goes soon after it is closed, and
// not at once. Tests wait for it.

package import Linux

/// How long a test waits at most for what must come. It only ends a hang: a machine may be busy, or stand still.
package let soon = Duration.seconds(120)

/// Waits until something holds, and looks often at first. - Returns: whether it does.
package func eventually(
  within time: Duration = soon, _ holds: () throws -> Bool
) rethrows -> Bool {
  let end = ContinuousClock.now + time
  var nap = Duration.microseconds(20)
  while try !holds() {
    guard ContinuousClock.now < end else { return false }
    pause(nap)
    nap = min(nap * 2, .milliseconds(5))
  }
  return true
}

/// Does something as often as it fails with one error, until it does not. - Returns: what it gives.
package func insisting<Result: ~Copyable>(
  while error: Errno, _ body: () throws -> Result
) throws -> Result {
  let end = ContinuousClock.now + soon
  while true {
    do {
      return try body()
    } catch let found as Errno where found == error && ContinuousClock.now < end {
      pause(.milliseconds(1))
    }
  }
}

/// Does nothing for a while.
package func pause(_ time: Duration) {
  var nobody: InlineArray<1, PollEntry> = [.ignored]
  _ = try? Poll.wait(&nobody, timeout: time)
}
