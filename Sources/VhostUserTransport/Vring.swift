// SPDX-License-Identifier: Apache-2.0
//
// Vring: what a front-end has said about one ring, and the worker that serves it.
//
// A ring runs when all of this holds: its size, its address and a way to kick it are known, there is
// memory, it is enabled, and it has not broken. Nothing else is asked for, so requests may come in
// any order: after each one the session looks which rings can run now. The worker looks at the ring
// before it sleeps for the first time, so no kick is lost, whenever it came.
//
//     stopped --- SET_VRING_KICK, VRING_KICK ---> started --- enabled, all known ---> running
//        ^------- GET_VRING_BASE, reset ------------+-<-------- disabled ---------------+

import Backends
import Linux
import VirtioRing

/// A descriptor that a ring keeps while its worker has a duplicate of it.
final class HeldDescriptor: Sendable {
  private let descriptor: FileDescriptor

  init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// One for a worker to own.
  func duplicate() throws(SessionError) -> FileDescriptor {
    do {
      return try descriptor.duplicate()
    } catch {
      throw .host(DeviceError("duplicate a file descriptor", error))
    }
  }

  /// Wakes who waits at its other end. One that is gone, or does not listen, learns nothing.
  ///
  /// The front-end can make a write to its descriptor wait, whatever we set. So the control thread does not
  /// write: a thread does, which is got out of it if need be. Faults are rare enough for that.
  func wake() {
    guard let own = try? descriptor.duplicate(), let done = try? EventFD() else { return }
    guard let told = try? done.descriptor.duplicate() else { return }
    let thread = try? WorkerThread.start(
      name: "vring-error", state: Errand(target: own, done: EventFD(adopting: told))
    ) { errand in
      try? errand.target.sendWakeup()
      errand.done.signal()
      return true
    }
    guard let thread else { return }
    let nudging = Nudging()
    while let found = try? Poll.wait(
      for: .readable, on: done.descriptor, timeout: .milliseconds(20)), found.isEmpty
    {
      thread.nudge(nudging)
    }
    _ = thread.join()
  }

  /// What the thread that wakes has with it.
  private struct Errand: ~Copyable, Sendable {
    let target: FileDescriptor
    let done: EventFD
  }
}

/// An eventfd that nobody else has: ringing it never waits.
final class OwnBell: Sendable {
  private let bell: EventFD

  init() throws(SessionError) {
    do {
      bell = try EventFD()
    } catch {
      throw .host(DeviceError("make an eventfd", error))
    }
  }

  func ring() { bell.signal() }

  /// One for a worker to own.
  func duplicate() throws(SessionError) -> FileDescriptor {
    do {
      return try bell.descriptor.duplicate()
    } catch {
      throw .host(DeviceError("duplicate a file descriptor", error))
    }
  }
}

/// How one side of a ring wakes the other.
enum Doorbell {
  /// The front-end has said nothing.
  case unset
  /// The front-end has said that there is no descriptor: who waits looks from time to time.
  case none
  /// A descriptor of the front-end.
  case descriptor(HeldDescriptor)
  /// Kicks come as messages, and are handed to the worker through an eventfd of ours.
  case inBand(OwnBell)
}

/// One ring of a session.
final class Vring {
  /// Which of the device's queues it is.
  let index: Int

  /// Entries.
  var size: UInt16?
  /// Where it lies, in the front-end's addresses.
  var address: VringAddress?
  /// Where it stands: the number of SET_VRING_BASE or the place where it was stopped, in the form of that
  /// request, which depends on the ring's format. nil for the start of a new ring.
  private var standing: UInt32?
  /// Whether the device was reset since: then it starts anew unless SET_VRING_BASE comes. Where it stands
  /// stays known until then: some front-ends pause a guest with a reset, and ask afterwards (QEMU 7.2).
  private var startsAnew = false
  /// How the driver kicks.
  var kick = Doorbell.unset
  /// How to call the driver.
  var call = Doorbell.unset
  /// How to tell that the ring is broken.
  var errorSignal: HeldDescriptor?
  /// What SET_VRING_ENABLE said. It counts only where protocol features were negotiated.
  var isEnabled = false
  /// Between the first sign of kicks and GET_VRING_BASE.
  var isStarted = false
  /// Why it does not run though it could. A reset, a new base or a new start forget it.
  var isBroken = false
  /// Whether it was reported that it cannot start for want of memory.
  var isReportedWithoutMemory = false
  /// The layout that the worker uses.
  private(set) var layout: RingLayout?
  private var running: RunningQueue?
  private(set) var isPacked = false
  /// Tells a note of a worker from those of workers before it.
  private(set) var run: UInt64 = 0
  /// What GET_VRING_BASE has answered since it ran last.
  private var toldBase: UInt32?
  private let trace: DriverTrace

  init(index: Int, trace: DriverTrace) {
    self.index = index
    self.trace = trace
  }

  /// Whether a worker serves it.
  var isRunning: Bool { layout != nil }

  // MARK: Running

  /// The number of the run that is about to begin.
  func beginRun() -> UInt64 {
    run += 1
    return run
  }

  /// Remembers the worker.
  func didStart(_ queue: consuming RunningQueue, layout: RingLayout) {
    running = consume queue
    self.layout = layout
    startsAnew = false
    toldBase = nil
    if case .packed = layout { isPacked = true } else { isPacked = false }
  }

  /// Lets the worker begin to stop; `halt()` must follow.
  func requestHalt() { running?.requestStop() }

  /// Stops the worker, if there is one. Nothing is in flight afterwards, and it is known where the ring
  /// stands.
  func halt() {
    guard let running = running.take() else { return }
    layout = nil
    let queue = running.stop()
    standing = Self.encode(queue.position, isPacked: isPacked)
    trace.stopped(ring: index, atBeginning: startsAtBeginning(isPacked: isPacked))
  }

  /// Forgets what belongs to a run of the ring: the front-end starts it anew with a kick.
  func stop() {
    halt()
    isStarted = false
    isBroken = false
    isReportedWithoutMemory = false
    kick = .unset
  }

  /// As after a reset of the device. Descriptors to call stay: a front-end may set them only once.
  func reset() {
    stop()
    isEnabled = false
    startsAnew = true
  }

  /// The worker goes on in another memory table.
  func replaceMemory(_ memory: GuestMemory) { running?.replaceMemory(memory) }

  /// The worker listens to another descriptor.
  func replaceKick(_ kick: consuming FileDescriptor?) {
    guard isRunning else { return }
    running?.replaceKick(kick)
  }

  /// The worker calls in another way.
  func replaceCall(_ call: consuming CallTarget?) {
    guard isRunning else { return }
    running?.replaceCall(call)
  }

  // MARK: Positions

  /// The number of GET_VRING_BASE: split, the next available index; packed, two of 15 bits and a
  /// wrap counter each, the available side in the lower half, the used side in the upper.
  static func encode(_ position: RingPosition, isPacked: Bool) -> UInt32 {
    guard isPacked else { return UInt32(position.nextAvailable) }
    let available = UInt32(position.nextAvailable) | (position.availableWrap ? 0x8000 : 0)
    let used =
      position.nextUsed.map { UInt32($0) | (position.usedWrap ? 0x8000 : 0) } ?? available
    return available | used << 16
  }

  /// What SET_VRING_BASE says. A 0 from a front-end that we have not told 0 means a new ring, also in
  /// a packed ring, where it would otherwise mean the second round: User-mode Linux sends it so.
  func setBase(_ number: UInt32) {
    standing = number == 0 && toldBase != 0 ? nil : number
    startsAnew = false
  }

  /// Where the next start begins, in the form of SET_VRING_BASE; nil for the start of a new ring.
  var base: UInt32? { startsAnew ? nil : standing }

  /// The front-end does not remember what it was told.
  func forgetTold() { toldBase = nil }

  /// Whether it would start where a new driver's ring starts.
  func startsAtBeginning(isPacked: Bool) -> Bool {
    guard let base, let position = Self.decode(base, isPacked: isPacked) else { return base == nil }
    return Self.encode(position, isPacked: isPacked) == Self.encode(.start, isPacked: isPacked)
  }

  /// What GET_VRING_BASE answers, whatever has stopped the ring before.
  ///
  /// - Parameter isPacked: the format of a ring that has not run yet.
  func tellBase(isPacked: Bool) -> UInt32 {
    let told = standing ?? (isPacked ? 0x8000_8000 : 0)
    toldBase = told
    return told
  }

  /// The position that a number of SET_VRING_BASE means; nil where it means none.
  ///
  /// An upper half of 0 in a packed ring says nothing of the used side: DPDK sends it so. It stands
  /// where the available side does, since nothing is in flight when a ring starts.
  static func decode(_ base: UInt32, isPacked: Bool) -> RingPosition? {
    guard isPacked else {
      return UInt16(exactly: base).map { RingPosition(nextAvailable: $0) }
    }
    let lower = UInt16(truncatingIfNeeded: base)
    let upper = UInt16(truncatingIfNeeded: base >> 16)
    let used = upper == 0 ? lower : upper
    return RingPosition(
      nextAvailable: lower & 0x7fff, nextUsed: used & 0x7fff,
      availableWrap: lower & 0x8000 != 0, usedWrap: used & 0x8000 != 0)
  }
}
