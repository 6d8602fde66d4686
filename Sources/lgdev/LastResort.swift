// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import Linux
import Synchronization

/// Ends the process while its control thread hangs, and leaves as little behind as can be.
final class LastResort: Sendable {
  /// The process's number's file, once it is there.
  let pidFile = Mutex<PidFile?>(nil)
  private let consoles: [ConsoleDevice]
  private let busyDevice: @Sendable () -> String?
  private let removeSockets: @Sendable () -> Void

  /// How long consoles have to let go of what they hold on the host.
  private static let consoleTime = Duration.milliseconds(300)

  /// - Parameters:
  ///   - busyDevice: names what is waited for, if that is known.
  ///   - removeSockets: removes what front-ends connect to.
  init(
    consoles: [ConsoleDevice], busyDevice: @escaping @Sendable () -> String? = { nil },
    removeSockets: @escaping @Sendable () -> Void = {}
  ) {
    self.consoles = consoles
    self.busyDevice = busyDevice
    self.removeSockets = removeSockets
  }

  /// Does it.
  func end() -> Never {
    RawTerminal.restore()
    let name = busyDevice() ?? "lgdev"
    StandardError.print("error: \(name): its requests in flight do not finish; ending without them")
    removeSockets()
    pidFile.withLock { $0 }?.remove()
    for console in consoles { console.beginShutDown() }
    if !consoles.isEmpty {
      var nobody: InlineArray<1, PollEntry> = [.ignored]
      _ = try? Poll.wait(&nobody, timeout: Self.consoleTime)
    }
    _exit(1)
  }
}
