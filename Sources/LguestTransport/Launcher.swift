// SPDX-License-Identifier: Apache-2.0
//
// Launcher: a guest from its start to its end, over restarts, on one thread: the one that the guest's
// processor runs on while it is inside read(2), and the control thread of its devices in between.

import Backends
import Linux
import Logging

/// Runs one guest.
struct Launcher {
  /// What a host says of a guest that switched itself off, and so did the guest.
  private static let powerDown = "CRASH: Power down"
  /// What is said of a guest that died without a word. A bzImage does not show from outside what its kernel was
  /// built for: it is packed, in one of six ways.
  private static let wasMute =
    "; it never called lguest, as kernels do that were built without CONFIG_LGUEST_GUEST=y"

  /// What a host says that could not pin a page of the guest's memory.
  private static let noPage = "failed to get page "

  let options: GuestOptions
  let devices: [any Device]
  let logger: Logger
  let control: GuestControl
  /// Opens a new guest.
  let openPort: @Sendable () throws(LguestError) -> any GuestPort

  /// Runs the guest until it does not want to be started again.
  func run() -> GuestEnd {
    let trouble = TroubleReport { [logger] line in logger.warning("\(line)") }
    // The guest runs inside read(2); every time that a worker took the processor from it, an area to keep
    // up to date would get it out of there.
    CurrentThread.leaveRestartableSequences()
    // A guest can start again as often as it likes.
    let restarts = TroubleReport { [logger] line in logger.info("\(line)") }
    while true {
      do throws(LguestError) {
        if let end = try runOnce(trouble) { return end }
      } catch {
        return control.isStopRequested ? .stopped : .notStarted(error)
      }
      restarts.report("the guest starts again")
    }
  }

  /// Starts the guest and runs it. - Returns: nil when it wants to be started again.
  private func runOnce(_ trouble: TroubleReport) throws(LguestError) -> GuestEnd? {
    let image = try GuestImage(options, devices: devices.map { DeviceDescription($0) })
    let gate = GuestGate(try openPort())
    let memory = try image.load()
    let bus = try GuestBus(
      devices, page: image.page, memory: memory, gate: gate,
      output: options.earlyOutput ?? { _ in }, trouble: trouble)
    try gate.initialize(
      base: memory.base, pageLimit: memory.byteCount / GuestSizes.page, entry: image.entry)
    // The memory must outlive the guest, and the guest ends when the last descriptor of it is closed.
    defer { withExtendedLifetime(memory) {} }
    defer { bus.end() }
    return serve(gate, bus)
  }

  private func serve(_ gate: GuestGate, _ bus: GuestBus) -> GuestEnd? {
    while !control.isStopRequested {
      switch gate.run() {
      case .notified(let address): bus.notified(address)
      case .interrupted: break
      case .restart: return nil
      case .died(Self.powerDown): return .poweredOff
      case .died(let reason) where reason.hasPrefix(Self.noPage):
        let remedy = LguestError.remedyForLackOfMemory
        return .died("\(reason), which the host does not give; \(remedy)")
      case .died(let reason):
        return .died(gate.hasCalled() == false ? reason + Self.wasMute : reason)
      case .failed(let errno): return .failed(errno)
      case .strange(let count):
        return .notStarted(.wrongInterface("a notify has \(count) bytes, not 8"))
      }
    }
    return .stopped
  }
}
