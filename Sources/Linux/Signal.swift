// SPDX-License-Identifier: Apache-2.0
//
// Signals by name, sets of them, and the mask of a thread. Nothing here installs a handler: signals
// are taken from a SignalFD by the control thread, and are blocked in every worker.

import Glibc

/// A signal (signal(7)).
public struct Signal: RawRepresentable, Sendable, Hashable {
  /// The number.
  public let rawValue: Int32

  /// Wraps a signal's number.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// The terminal or the supervisor went away (SIGHUP).
  public static let hangup = Signal(rawValue: SIGHUP)
  /// Ctrl-C (SIGINT).
  public static let interrupt = Signal(rawValue: SIGINT)
  /// The polite request to end (SIGTERM).
  public static let terminate = Signal(rawValue: SIGTERM)
  /// Ctrl-\ (SIGQUIT).
  public static let quit = Signal(rawValue: SIGQUIT)
  /// A pipe or socket without a reader was written (SIGPIPE).
  public static let pipe = Signal(rawValue: SIGPIPE)
  /// A child ended (SIGCHLD).
  public static let child = Signal(rawValue: SIGCHLD)
  /// The terminal's size changed (SIGWINCH).
  public static let windowChange = Signal(rawValue: SIGWINCH)
  /// A file was written behind the limit of file sizes (SIGXFSZ).
  public static let fileSizeExceeded = Signal(rawValue: SIGXFSZ)
  /// Whatever the program likes (SIGUSR1).
  public static let user1 = Signal(rawValue: SIGUSR1)
  /// Whatever the program likes (SIGUSR2).
  public static let user2 = Signal(rawValue: SIGUSR2)

  /// Makes the whole process ignore this signal. A program that writes to sockets and pipes does this
  /// with `.pipe` before anything else, so that a peer that went away is an error and not the end.
  public func ignore() {
    _ = Glibc.signal(rawValue, SIG_IGN)
  }

  /// Whether the process ignores this signal: since nohup(1) has started it, or after `ignore()`.
  public var isIgnored: Bool {
    // SAFETY: the call fills a local; without a new action it changes nothing. What is compared is an address,
    // of which 1 is SIG_IGN.
    var action = sigaction()
    guard unsafe sigaction(rawValue, nil, &action) == 0 else { return false }
    let handler = unsafe action.__sigaction_handler.sa_handler
    return unsafe unsafeBitCast(handler, to: Int.self) == 1
  }

  /// Sends this signal to the calling thread.
  public func raise() {
    _ = Glibc.raise(rawValue)
  }
}

/// A set of signals, and the mask of the calling thread.
public struct SignalSet: Sendable, ExpressibleByArrayLiteral {
  var storage = sigset_t()

  /// A set of exactly these signals.
  public init(arrayLiteral signals: Signal...) {
    // SAFETY: the calls write to this value's own storage; a number that is no signal is refused.
    unsafe sigemptyset(&storage)
    for signal in signals {
      unsafe sigaddset(&storage, signal.rawValue)
    }
  }

  /// Every signal that comes from outside, but for the one of `WorkerThread.nudge(_:)`. Those that the processor raises for the instruction under
  /// way (SIGBUS, SIGSEGV and their kin) are left out: blocking them would not hold them back, it
  /// would end the process without running their handlers, and a handler contains SIGBUS.
  public static var asynchronous: SignalSet {
    var set = SignalSet()
    // SAFETY: the calls write to the local set; the numbers are signals.
    unsafe sigfillset(&set.storage)
    for signal in [SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS, SIGURG] {
      unsafe sigdelset(&set.storage, signal)
    }
    return set
  }

  /// Whether a signal is in the set.
  public func contains(_ signal: Signal) -> Bool {
    // SAFETY: the call reads this value's own storage.
    unsafe withUnsafePointer(to: storage) { unsafe sigismember($0, signal.rawValue) == 1 }
  }

  /// Blocks these signals in the calling thread, and in threads that it starts later.
  ///
  /// - Returns: the mask before, for `restore()`.
  @discardableResult
  public func block() -> SignalSet {
    Self.changeMask(SIG_BLOCK, self)
  }

  /// Makes this set the calling thread's mask: the counterpart of `block()`.
  ///
  /// - Returns: the mask before.
  @discardableResult
  public func restore() -> SignalSet {
    Self.changeMask(SIG_SETMASK, self)
  }

  /// What the calling thread blocks now.
  public static var blocked: SignalSet {
    changeMask(SIG_BLOCK, [])
  }

  private static func changeMask(_ how: Int32, _ set: SignalSet) -> SignalSet {
    var set = set
    var before = SignalSet()
    // SAFETY: both sets are locals. The call fails only for an unknown `how`.
    unsafe pthread_sigmask(how, &set.storage, &before.storage)
    return before
  }
}
