// SPDX-License-Identifier: Apache-2.0
//
// QueuePort: a queue's body sees the world through it: kicks, calls, and the wish of the control thread
// to have the queue back.
//
// Calls are batched as lguest has always done it: `sleep` makes one call for all that was given back
// since, just before the thread sleeps. A body that must not wait so long uses `call` itself.

public import Linux
public import VirtioRing

/// Why a body woke up. Several reasons can come together.
public struct Wake: OptionSet, Sendable {
  /// The bits.
  public let rawValue: UInt8
  /// Makes a set of reasons.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The queue has something, or may have.
  public static let queue = Wake(rawValue: 1)
  /// The body's own descriptor is ready, or has failed.
  public static let source = Wake(rawValue: 2)
  /// `isInterrupted` is true: finish and return.
  public static let interrupted = Wake(rawValue: 4)
}

/// What a body can wait for besides kicks: a descriptor of its own.
public struct WakeSource: Sendable {
  /// A descriptor that the body keeps open, or -1 for none.
  public var descriptor: Int32
  /// What to wait for.
  public var events: PollEvents

  /// Waits for events on a descriptor.
  public init(_ descriptor: Int32, _ events: PollEvents) {
    self.descriptor = descriptor
    self.events = events
  }

  /// Waits for nothing else.
  public static let none = WakeSource(-1, [])
}

/// One queue's connection to its driver and to the control thread, owned by the worker.
public struct QueuePort: ~Copyable, Sendable {
  private let control: WorkerControl
  var wiring: QueueWiring
  /// The queue's counters.
  public var meter: QueueMeter
  /// Counts the kick descriptors that there were.
  private var kickVersion = 0

  /// How long a queue without a kick descriptor sleeps between two looks.
  private static let pollInterval = Duration.milliseconds(1)

  init(control: WorkerControl, wiring: consuming QueueWiring, meter: consuming QueueMeter) {
    self.control = control
    self.wiring = wiring
    self.meter = meter
  }

  /// Whether the control thread wants the queue. A load: cheap enough between two requests.
  public var isInterrupted: Bool {
    @inline(__always) get { control.isInterrupted }
  }

  /// Calls the driver if it wants that for what was published.
  public mutating func call(_ queue: inout Virtqueue) {
    meter.settle()
    takeMail()
    guard queue.needsCall() else { return }
    wiring.call?.send()
    meter.countCall()
  }

  /// Calls the driver if due, then sleeps until there is a reason not to.
  ///
  /// Kicks are on while it sleeps and off when it returns. If chains came in just before, it returns at
  /// once.
  ///
  /// - Parameters:
  ///   - queue: the body's queue.
  ///   - source: a descriptor of the body's own to wait for as well.
  ///   - kicks: false to wait without looking at the queue: the body has buffers enough.
  ///   - timeout: nil for none.
  /// - Returns: the reasons; none of them after the timeout.
  /// - Throws: what the driver did wrong.
  @discardableResult
  public mutating func sleep(
    _ queue: inout Virtqueue, also source: WakeSource = .none, kicks: Bool = true,
    timeout: Duration? = nil
  ) throws(RingError) -> Wake {
    call(&queue)
    if isInterrupted { return .interrupted }
    if kicks {
      guard try !queue.enableKicks() else {
        queue.disableKicks()
        return .queue
      }
    }
    let wake = wait(source, kicks: kicks, timeout: timeout)
    if kicks { queue.disableKicks() }
    return wake
  }

  /// Calls the driver if due, then sleeps without looking at the queue: for a body that must wait in
  /// the middle of a request.
  ///
  /// - Parameters:
  ///   - queue: the body's queue.
  ///   - source: what the request waits for.
  ///   - timeout: nil for none.
  /// - Returns: `.source`, `.interrupted`, both, or none of them after the timeout.
  public mutating func sleepInRequest(
    _ queue: inout Virtqueue, for source: WakeSource, timeout: Duration? = nil
  ) -> Wake {
    call(&queue)
    if isInterrupted { return .interrupted }
    return wait(source, kicks: false, timeout: timeout)
  }

  /// Sleeps until the control thread wants the queue: for a queue that is broken.
  mutating func park() {
    while !isInterrupted { _ = wait(.none, kicks: false, timeout: nil) }
  }

  private mutating func wait(_ source: WakeSource, kicks: Bool, timeout: Duration?) -> Wake {
    let start = timeout == nil ? 0 : MonotonicClock.nanoseconds
    while true {
      var left = timeout
      if let timeout {
        left = max(.zero, timeout - .nanoseconds(Int64(MonotonicClock.nanoseconds &- start)))
      }
      let wake = waitOnce(source, kicks: kicks, timeout: left)
      guard takeMail() else { return wake }
      // A kick may have gone to the descriptor that was given up.
      if kicks { return wake.union(.queue) }
      if !wake.isEmpty { return wake }
    }
  }

  private mutating func waitOnce(
    _ source: WakeSource, kicks: Bool, timeout: Duration?
  ) -> Wake {
    if kicks, wiring.sleepsInKick, kickDescriptor >= 0, source.descriptor < 0, timeout == nil {
      // Interruptions come through the kick too.
      drainKick()
      meter.hasWaited()
      return isInterrupted ? [.queue, .interrupted] : .queue
    }
    var timeout = timeout
    if kicks, wiring.kick == nil {
      timeout = min(timeout ?? Self.pollInterval, Self.pollInterval)
    }
    var entries: InlineArray<3, PollEntry> = [
      PollEntry(fd: control.wakeDescriptor),
      PollEntry(fd: kicks ? kickDescriptor : -1),
      PollEntry(fd: source.descriptor, events: source.events),
    ]
    do throws(Errno) {
      _ = try Poll.wait(&entries, timeout: timeout)
    } catch {
      meter.hasWaited()
      // Out of kernel memory, at worst: as good as a wake-up without a reason.
      return isInterrupted ? .interrupted : .queue
    }
    meter.hasWaited()
    var wake: Wake = []
    if isInterrupted { wake.insert(.interrupted) }
    if entries[1].isReady {
      drainKick()
      wake.insert(.queue)
    } else if kicks, wiring.kick == nil {
      wake.insert(.queue)
    }
    if entries[2].isReady { wake.insert(.source) }
    return wake
  }
}

// MARK: For bodies that wait in their own way

extension QueuePort {
  /// Whether the body waits in a system call of its own from now on. The control thread then ends that call
  /// with a nudge (`.interrupted`), and the body looks at `isInterrupted` before each such call.
  public func setWaitsInOwnCall(_ waits: Bool) { control.setWaitsForNudge(waits) }

  /// Readable when `isInterrupted` has become true, or there is something for `takeMail`. Never read it.
  public var interruptDescriptor: Int32 { control.wakeDescriptor }

  /// Readable when the driver has kicked, or -1 where no kick will come.
  public var kickDescriptor: Int32 {
    wiring.kickDescriptor
  }

  /// Goes over to the descriptors that the control thread has left, if any. `call` and both sleeps do it by
  /// themselves; a body that wakes from a sleep of its own does it then.
  ///
  /// - Returns: whether there were any.
  @discardableResult
  @inline(__always)
  public mutating func takeMail() -> Bool {
    guard control.hasMail else { return false }
    changeWiring()
    return true
  }

  @inline(never)
  private mutating func changeWiring() {
    var mail = control.takeMail()
    if let new = mail.kick.take() {
      wiring.kick = new.descriptor
      wiring.sleepsInKick = false
      kickVersion &+= 1
    }
    if let new = mail.call.take() {
      wiring.call = new.target
      wiring.call?.send()
    }
  }

  /// Whether kicks come from another descriptor than at the time of an earlier `watchedKick`.
  public func isWatchOutdated(_ watched: WatchedKick) -> Bool { watched.version != kickVersion }

  /// The kick descriptor as it is now, for a body that keeps watching it.
  public var watchedKick: WatchedKick { WatchedKick(version: kickVersion) }

  /// Names one of the kick descriptors that a queue has had.
  public struct WatchedKick: Sendable {
    fileprivate let version: Int
  }

  /// Takes the kicks that have come. A kick descriptor that was closed is given up.
  public mutating func drainKick() {
    switch wiring.drainKick() {
    case .arrived: meter.countKick()
    case .none: break
    case .closed: wiring.kick = nil
    }
  }
}
