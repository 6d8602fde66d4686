// SPDX-License-Identifier: Apache-2.0
//
// RunningGuest: a guest on its own thread, as its owner sees it.

public import Backends
import Linux
public import Logging
import Synchronization

/// What a guest's thread and its owner share.
final class GuestControl: Sendable {
  private let stopRequested = Atomic<Bool>(false)
  private let ended: EventFD

  init() throws(Errno) { ended = try EventFD() }

  var isStopRequested: Bool { stopRequested.load(ordering: .relaxed) }
  /// Readable when the guest has ended.
  var endDescriptor: Int32 { ended.descriptor.raw }

  func requestStop() { stopRequested.store(true, ordering: .relaxed) }
  func end() { ended.signal() }

  /// Waits for the end. - Parameter interval: how long; nil for ever. - Returns: whether it has come.
  func waitForEnd(_ interval: Duration?) -> Bool {
    // Polling fails only for lack of kernel memory: then joining the thread is the wait.
    guard let found = try? Poll.wait(for: .readable, on: ended.descriptor, timeout: interval)
    else { return true }
    return !found.isEmpty
  }
}

/// A guest that runs, or has ended and was not joined yet.
public struct RunningGuest: ~Copyable, Sendable {
  /// How often a thread that is to stop is got out of its waits.
  private static let nudgeInterval = Duration.milliseconds(5)

  private let thread: WorkerThread<GuestEnd>
  private let control: GuestControl

  /// Checks all that can be checked before the first device is made: the host, the files, the memory.
  ///
  /// - Throws: why such a guest cannot run here.
  public static func check(_ options: GuestOptions) throws(LguestError) {
    try check(options, devices: [])
    try checkHost()
  }

  /// Checks whether there is a module that speaks this program's interface.
  ///
  /// - Throws: why no guest can run here.
  public static func checkHost() throws(LguestError) {
    try check { () throws(LguestError) in try DevicePort() }
  }

  /// Checks what `openPort` opens.
  package static func check(
    _ openPort: () throws(LguestError) -> any GuestPort
  ) throws(LguestError) {
    try GuestGate(try openPort()).probe()
  }

  /// Checks the files and the memory of a guest, and whether it can have these devices.
  ///
  /// - Throws: why there can be no such guest on any host.
  public static func check(_ options: GuestOptions, devices: [any Device]) throws(LguestError) {
    try GuestImage(options, devices: devices.map { DeviceDescription($0) }).reserve()
  }

  /// Starts a guest on a thread of its own.
  ///
  /// - Parameters:
  ///   - options: what it is made of.
  ///   - devices: in the order in which the guest numbers those of a kind. They are the guest's until it has ended.
  ///   - name: of the thread.
  ///   - logger: gets a line for each restart, and at most one a second for what the guest does wrong.
  /// - Throws: what is wrong with the options, and what the host refuses. What the host module refuses
  ///   later is in the guest's end.
  public static func start(
    _ options: GuestOptions, devices: [any Device], name: String = "guest", logger: Logger
  ) throws(LguestError) -> RunningGuest {
    try start(options, devices: devices, name: name, logger: logger) { () throws(LguestError) in
      try DevicePort()
    }
  }

  /// Starts a guest on what `openPort` opens, anew for each time that the guest starts.
  package static func start(
    _ options: GuestOptions, devices: [any Device], name: String, logger: Logger,
    openPort: @escaping @Sendable () throws(LguestError) -> any GuestPort
  ) throws(LguestError) -> RunningGuest {
    try check(options, devices: devices)
    do throws(Errno) {
      let control = try GuestControl()
      let launcher = Launcher(
        options: options, devices: devices, logger: logger, control: control, openPort: openPort)
      let thread = try WorkerThread.start(name: name, state: launcher) { launcher in
        let end = launcher.run()
        launcher.control.end()
        return end
      }
      return RunningGuest(thread: thread, control: control)
    } catch {
      throw .host(action: "start a thread for the guest", reason: error)
    }
  }

  private init(thread: consuming WorkerThread<GuestEnd>, control: GuestControl) {
    self.thread = thread
    self.control = control
  }

  /// Readable when the guest has ended. Never read it.
  public var endDescriptor: Int32 { control.endDescriptor }

  /// Waits until the guest has ended by itself.
  public consuming func join() -> GuestEnd { thread.join() }

  /// Ends the guest: requests in flight are finished, its devices are reset.
  public consuming func stop() -> GuestEnd {
    control.requestStop()
    // A signal that comes just before the thread waits is lost on it: so there are several.
    let nudging = Nudging()
    repeat { thread.nudge(nudging) } while !control.waitForEnd(Self.nudgeInterval)
    return thread.join()
  }
}
