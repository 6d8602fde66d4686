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
  /// What is said at the end, where it is not that requests do not finish.
  private let reason = Mutex<String?>(nil)
  private let busyDevice: @Sendable () -> String?
  private let removeSockets: @Sendable () -> Void
  private let cleaner = Mutex<WorkerThread<Void>?>(nil)

  /// How long consoles have to let go of what they hold on the host.
  private static let consoleTime = Duration.milliseconds(300)
  /// How long the removal of all that is left may take.
  private static let cleaningTime = Duration.seconds(3)

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

  /// Who ends the process from now on takes a mount away from those who write to it.
  func becomesLoss(_ mountPoint: String, _ users: String) {
    reason.withLock {
      $0 = "\(mountPoint): ended while it was used by \(users); what was written there may be lost"
    }
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

  /// Ends the process. Nothing that hangs on the host keeps it from that, and nobody who reads no errors.
  func end() -> Never {
    RawTerminal.restore()
    cleanUpForAWhile()
    let name = busyDevice() ?? "lgdev"
    let hang = "\(name): its requests in flight do not finish; ending without them"
    StandardError.print("error: \(reason.withLock { $0 } ?? hang)")
    StandardError.finish()
    _exit(1)
  }

  /// Cleans up, on a thread that may hang in it: a pid file can lie on the very storage that hangs.
  private func cleanUpForAWhile() {
    do {
      let isDone = try Bell()
      let started = try WorkerThread.start(name: "last-resort", state: self) {
        $0.cleanUp()
        isDone.ring()
      }
      var thread = Optional(started)
      cleaner.withLock { $0 = thread.take() }
      var entries: InlineArray<1, PollEntry> = [PollEntry(fd: isDone.descriptor)]
      _ = try? Poll.wait(&entries, timeout: Self.cleaningTime)
    } catch {
      cleanUp()
    }
  }

  private func cleanUp() {
    removeSockets()
    for export in exports.withLock({ $0 }) { export.detach() }
    let consoles = consoles.withLock { $0 }
    for console in consoles { console.beginShutDown() }
    pidFile.withLock { $0 }?.remove()
    if !consoles.isEmpty {
      var nobody: InlineArray<1, PollEntry> = [.ignored]
      _ = try? Poll.wait(&nobody, timeout: Self.consoleTime)
    }
  }
}
