// SPDX-License-Identifier: Apache-2.0
//
// WorkerControl: where the control thread and one worker meet.
//
// The control thread leaves a wish, sets a flag and wakes the worker through an eventfd; the worker sees the flag
// between two requests, or wakes from its sleep, lets its body finish what is in flight, and grants the wish.
// Only one wish is under way at a time: the control thread waits for it.

import Linux
import Synchronization
import VirtioRing

final class WorkerControl: Sendable {
  /// What the control thread wants.
  enum Wish: ~Copyable, Sendable {
    case stop
    case replaceMemory(GuestMemory)
    case replaceKick(FileDescriptor?)
    case replaceCall(CallTarget?)
  }

  private let interrupted = Atomic<Bool>(false)
  private let stopRequested = Atomic<Bool>(false)
  private let waitsForNudge = Atomic<Bool>(false)
  private let wish = Mutex<Wish?>(nil)
  private let wake: EventFD
  private let granted: EventFD
  /// What the worker may sleep in besides: its kick's eventfd.
  private let kick: EventFD?

  /// - Parameter kick: where the worker sleeps in read(2) of its kicks.
  init(kick: consuming EventFD? = nil) throws(Errno) {
    self.kick = kick
    wake = try EventFD(nonBlocking: true)
    granted = try EventFD(nonBlocking: false)
  }

  // MARK: On the worker

  var isInterrupted: Bool {
    @inline(__always) get { interrupted.load(ordering: .relaxed) }
  }

  var wakeDescriptor: Int32 { wake.descriptor.raw }

  /// Takes the wish, if there is one.
  func take() -> Wish? {
    wish.withLock { wish in
      interrupted.store(false, ordering: .relaxed)
      wake.drain()
      return wish.take()
    }
  }

  /// Whether the worker may wait in a system call of its body's that only a nudge ends.
  func setWaitsForNudge(_ waits: Bool) { waitsForNudge.store(waits, ordering: .relaxed) }

  /// Lets the control thread go on.
  func grant() { granted.signal() }

  // MARK: On the control thread

  /// Leaves a wish and wakes the worker. - Precondition: no wish is under way.
  func send(_ new: consuming Wish) {
    var new = Optional(new)
    wish.withLock { wish in
      wish = new.take()
      interrupted.store(true, ordering: .relaxed)
      // Within the lock: a worker that has seen the flag would else take the wish before this, and find the
      // descriptor readable ever after, without a wish.
      wake.signal()
    }
    switch kick {
    case .some(let kick): kick.signal()
    case .none: break
    }
  }

  /// Wishes the worker's end, once.
  func requestStop() {
    if !stopRequested.exchange(true, ordering: .relaxed) { send(.stop) }
  }

  /// How long a wish may take before the worker is nudged, again and again.
  private static let patience = Duration.milliseconds(100)

  /// The same for a worker that needs the nudge: one that comes just before the call begins is lost.
  private static let nudgeInterval = Duration.milliseconds(1)

  /// Waits until the wish was granted.
  ///
  /// - Parameter nudge: gets the worker out of a call that waits: its body's own, or one on a descriptor of
  ///   which a driver has cleared O_NONBLOCK, which could otherwise keep the worker, and with it the control
  ///   thread, for ever.
  func awaitGrant(_ nudge: () -> Void) {
    if waitsForNudge.load(ordering: .relaxed) { nudge() }
    // Polling fails only for lack of kernel memory: then the wait is without a limit.
    while let found = try? Poll.wait(for: .readable, on: granted.descriptor, timeout: interval),
      found.isEmpty
    {
      nudge()
    }
    granted.drain()
  }

  private var interval: Duration {
    waitsForNudge.load(ordering: .relaxed) ? Self.nudgeInterval : Self.patience
  }
}
