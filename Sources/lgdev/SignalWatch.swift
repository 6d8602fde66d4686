// SPDX-License-Identifier: Apache-2.0
//
// SignalWatch: takes the program's signals on a thread of its own, and sees to it that they end it.
//
// The control thread waits for requests in flight, and a host's storage that hangs keeps those for ever.
// So it is not the one to hear of signals. This thread asks it to end, and where it has not ended after
// a few seconds, or where another SIGTERM or SIGINT comes, ends the process without it.

import Linux
import Synchronization

/// Hears signals until `finish()`.
final class SignalWatch: Sendable {
  /// What ends the program in good order, and what says that the terminal's size has changed.
  static let signals: SignalSet = [.terminate, .interrupt, .hangup, .quit, .windowChange]

  /// What is to be done. All of it is called on the watch's thread.
  struct Actions: Sendable {
    /// The terminal's size has changed.
    var resize: @Sendable () -> Void
    /// The program is to end in good order.
    var end: @Sendable () -> Void
    /// It does not: ends the process.
    var giveUp: @Sendable () -> Void
  }

  private let bell: EventFD
  private let isFinished = Atomic<Bool>(false)
  private let isEnding = Atomic<Bool>(false)
  private let isHolding = Atomic<Bool>(false)
  private let thread = Mutex<WorkerThread<Void>?>(nil)

  /// A second signal sooner than this is taken for an echo of the first: timeout(1) sends two.
  private static let echo: UInt64 = 1_000_000_000

  /// Starts to listen.
  ///
  /// - Parameters:
  ///   - signals: those of `SignalWatch.signals`, taken before any thread was started.
  ///   - patience: how long the end in good order may take.
  init(
    _ signals: consuming SignalFD, patience: Duration = .seconds(5), _ actions: Actions
  ) throws(HostError) {
    do throws(Errno) {
      bell = try EventFD(nonBlocking: true)
      let state = State(signals: signals, patience: patience, actions: actions, watch: self)
      let started = try WorkerThread.start(name: "signals", state: state) { $0.run() }
      var optional = Optional(started)
      thread.withLock { $0 = optional.take() }
    } catch {
      throw HostError("the system gives no thread for signals: \(error)")
    }
  }

  /// The end waits for what somebody else has to do first: another signal ends the program without it, and time
  /// does not.
  func holdOn() {
    isHolding.store(true, ordering: .relaxed)
    bell.signal()
  }

  /// The program has begun to end, by itself or not: from now on it may take so long only.
  func expectEnd() {
    isEnding.store(true, ordering: .relaxed)
    bell.signal()
  }

  /// The program has ended in good order.
  func finish() {
    isFinished.store(true, ordering: .relaxed)
    bell.signal()
    if let thread = thread.withLock({ $0.take() }) { thread.join() }
  }

  /// What the thread has.
  private struct State: ~Copyable, Sendable {
    let signals: SignalFD
    let patience: Duration
    let actions: Actions
    unowned let watch: SignalWatch

    func run() {
      var asked: UInt64?
      // When the time begins.
      var begun: UInt64?
      while !watch.isFinished.load(ordering: .relaxed) {
        let isEnding = watch.isEnding.load(ordering: .relaxed)
        let isHolding = !isEnding && watch.isHolding.load(ordering: .relaxed)
        if isEnding, asked == nil { asked = MonotonicClock.nanoseconds }
        begun = asked == nil || isHolding ? nil : begun ?? MonotonicClock.nanoseconds
        let left = begun.map { patience - .nanoseconds(MonotonicClock.nanoseconds - $0) }
        if let left, left <= .zero { return actions.giveUp() }
        var entries: InlineArray<2, PollEntry> = [
          PollEntry(fd: signals.descriptor.raw), PollEntry(fd: watch.bell.descriptor.raw),
        ]
        _ = try? Poll.wait(&entries, timeout: left)
        watch.bell.drain()
        while let signal = try? signals.next() {
          if signal == .windowChange {
            actions.resize()
          } else if signal == .hangup, Signal.hangup.isIgnored {
            // nohup(1): a signal that is ignored and blocked comes here all the same.
            continue
          } else if let since = asked {
            let isImpatient = signal == .terminate || signal == .interrupt
            if isImpatient, MonotonicClock.nanoseconds - since > SignalWatch.echo {
              return actions.giveUp()
            }
          } else {
            asked = MonotonicClock.nanoseconds
            actions.end()
          }
        }
      }
    }
  }
}
