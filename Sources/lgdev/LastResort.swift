// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import Linux
import Synchronization

/// What the process has on the host, as far as it is known already; and the end of the process while its control thread
/// hangs, which leaves as little of that behind as can be.
final class LastResort: Sendable {
  /// The process's number's file, once it is there.
  let pidFile = Mutex<PidFile?>(nil)
  /// All consoles, once they are made.
  let consoles = Mutex<[ConsoleDevice]>([])
  /// The disks that are shown as files.
  let exports = Mutex<[DiskExport]>([])
  private let busyDevice: @Sendable () -> String?
  private let removeSockets: @Sendable () -> Void

  /// How long consoles have to let go of what they hold on the host.
  private static let consoleTime = Duration.milliseconds(300)

  /// - Parameters:
  ///   - busyDevice: names what is waited for, if that is known.
  ///   - removeSockets: removes what front-ends connect to.
  init(
    busyDevice: @escaping @Sendable () -> String? = { nil },
    removeSockets: @escaping @Sendable () -> Void = {}
  ) {
    self.busyDevice = busyDevice
    self.removeSockets = removeSockets
  }

  /// Tells guests that the terminal's size has changed.
  func resize() {
    for console in consoles.withLock({ $0 }) { console.hostResized() }
  }

  /// Unmounts what is shown as files, when requests under way have finished.
  func stopExports() {
    for export in exports.withLock({ $0 }) { export.stop() }
  }

  /// Ends consoles, when what they have was written.
  func shutDownConsoles() {
    let consoles = consoles.withLock { $0 }
    for console in consoles { console.beginShutDown() }
    for console in consoles { console.shutDown() }
  }

  /// Ends the process.
  func end() -> Never {
    RawTerminal.restore()
    let name = busyDevice() ?? "lgdev"
    StandardError.print("error: \(name): its requests in flight do not finish; ending without them")
    removeSockets()
    for export in exports.withLock({ $0 }) { export.detach() }
    pidFile.withLock { $0 }?.remove()
    let consoles = consoles.withLock { $0 }
    for console in consoles { console.beginShutDown() }
    if !consoles.isEmpty {
      var nobody: InlineArray<1, PollEntry> = [.ignored]
      _ = try? Poll.wait(&nobody, timeout: Self.consoleTime)
    }
    _exit(1)
  }
}
