// SPDX-License-Identifier: Apache-2.0
//
// WorkerControl: where the control thread and one worker meet. There are two ways to meet.
//
// A *wish* is for what must not happen in the middle of a request: the control thread leaves it, sets a flag and
// wakes the worker through an eventfd; the worker sees the flag between two requests, or wakes from its sleep, lets
// its body finish what is in flight, and grants the wish. Only one wish is under way at a time: the control thread
// waits for it.
//
// *Mail* is for what a worker can change between two requests while others are in flight: the descriptors of its
// driver. The control thread leaves it, wakes the worker, and goes on. Newer mail takes the place of older mail that
// was not taken.

import Linux
import Synchronization
import VirtioRing

final class WorkerControl: Sendable {
  /// What the control thread wants.
  enum Wish: ~Copyable, Sendable {
    case stop
    case replaceMemory(GuestMemory)
  }

  /// New descriptors of the driver; nil for what stays.
  struct Mail: ~Copyable, Sendable {
    var kick: NewKick?
    var call: NewCall?

    /// Where kicks come from; nil for no kicks at all.
    struct NewKick: ~Copyable, Sendable { var descriptor: FileDescriptor? }
    /// How to call; nil for a driver that looks by itself.
    struct NewCall: ~Copyable, Sendable { var target: CallTarget? }
  }

  /// What the worker has not taken yet.
  private struct Box: ~Copyable, Sendable {
    var wish: Wish?
    var mail = Mail()
  }

  private let interrupted = Atomic<Bool>(false)
  private let mailed = Atomic<Bool>(false)
  private let stopRequested = Atomic<Bool>(false)
  private let waitsForNudge = Atomic<Bool>(false)
  private let box = Mutex<Box>(Box())
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

  /// Whether there is mail. A load: cheap enough between two requests.
  var hasMail: Bool {
    @inline(__always) get { mailed.load(ordering: .sequentiallyConsistent) }
  }

  var wakeDescriptor: Int32 { wake.descriptor.raw }

  /// Takes the wish, if there is one.
  func take() -> Wish? {
    box.withLock { box in
      interrupted.store(false, ordering: .relaxed)
      if !hasMail { wake.drain() }
      return box.wish.take()
    }
  }

  /// Takes the mail.
  func takeMail() -> Mail {
    box.withLock { box in
      mailed.store(false, ordering: .sequentiallyConsistent)
      if !isInterrupted { wake.drain() }
      var mail = Mail()
      swap(&mail, &box.mail)
      return mail
    }
  }

  /// Whether the worker may wait in a system call of its body's that only a nudge ends.
  func setWaitsForNudge(_ waits: Bool) {
    waitsForNudge.store(waits, ordering: .sequentiallyConsistent)
  }

  /// Lets the control thread go on.
  func grant() { granted.signal() }

  // MARK: On the control thread

  /// Leaves a wish and wakes the worker. - Precondition: no wish is under way.
  func send(_ new: consuming Wish) {
    var new = Optional(new)
    box.withLock { box in
      box.wish = new.take()
      interrupted.store(true, ordering: .relaxed)
      // Within the lock: a worker that has seen the flag would else take the wish before this, and find the
      // descriptor readable ever after, without a wish.
      wake.signal()
    }
    ringKick()
  }

  /// Leaves mail and wakes the worker.
  ///
  /// - Parameter nudge: gets the worker out of a call of its body's own. Only for a worker that may be in
  ///   one does this wait until the mail is taken, which is as soon as it comes out of that.
  func post(_ new: consuming Mail, _ nudge: () -> Void) {
    var new = Optional(new)
    box.withLock { box in
      guard var new = new.take() else { return }
      if let kick = new.kick.take() { box.mail.kick = consume kick }
      if let call = new.call.take() { box.mail.call = consume call }
      mailed.store(true, ordering: .sequentiallyConsistent)
      wake.signal()
    }
    ringKick()
    // A nudge that comes just before the call begins is lost, so there is one after the other.
    while waitsForNudge.load(ordering: .sequentiallyConsistent), hasMail {
      nudge()
      pause()
    }
  }

  /// Wakes a worker that sleeps in its kick.
  private func ringKick() {
    switch kick {
    case .some(let kick): kick.signal()
    case .none: break
    }
  }

  private func pause() {
    var none = InlineArray<0, PollEntry>(repeating: PollEntry(fd: -1))
    _ = try? Poll.wait(&none, timeout: Self.nudgeInterval)
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
