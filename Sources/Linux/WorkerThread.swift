// SPDX-License-Identifier: Apache-2.0
//
// A thread that takes something over, works on it, and gives something back: the shape of every
// queue worker. It is a plain pthread, because a worker blocks in poll and in system calls, which a
// thread of Swift's cooperative pool must not do.
//
// How the state travels. Closures can capture but not give away a noncopyable value, so `start` puts
// state and body into a box, and the box's only strong reference goes through pthread_create's
// argument to the thread, which opens it. The result comes back the other way in a second box that
// both sides hold; pthread_join orders the thread's write before the joiner's read.

import CLinux
import Glibc

/// A thread of one's own, which hands back `Result` when it ends.
///
/// It must be joined. A worker that is dropped is a bug: debug builds stop there, and release builds
/// let the thread run on detached, with everything that it owns, until its body returns. It is not
/// joined instead, since nobody may have told it to stop and the wait would be for ever.
public struct WorkerThread<Result: ~Copyable & Sendable>: ~Copyable, Sendable {
  private var thread: pthread_t?
  private let outcome: Outcome<Result>

  private init(_ thread: pthread_t, _ outcome: Outcome<Result>) {
    self.thread = thread
    self.outcome = outcome
  }

  /// Starts a thread.
  ///
  /// All signals but the processor's own are blocked in it: they are the control thread's business.
  ///
  /// - Parameters:
  ///   - name: shown by ps and top; cut to 15 bytes, which is all that the kernel keeps.
  ///   - processors: numbers of the processors it may run on; nil leaves that to `origin`.
  ///   - origin: whose filters, processors and policy it has.
  ///   - state: what the thread takes over. It is destroyed when the thread cannot be started.
  ///   - body: what it does. Its return value is what `join()` gives.
  /// - Throws: `.again` when there are too many threads, `.invalidArgument` when none of
  ///   `processors` exists.
  public static func start<State: ~Copyable & Sendable>(
    name: String,
    processors: [Int]? = nil,
    inheriting origin: ThreadOrigin = .caller,
    state: consuming State,
    body: @escaping @Sendable (consuming State) -> Result
  ) throws(Errno) -> WorkerThread<Result> {
    let outcome = Outcome<Result>()
    let job = TypedJob(name: name, state: state, body: body, outcome: outcome)
    let thread: pthread_t
    switch origin {
    case .caller: thread = try Job.launch(job, origin, processors: processors)
    case .process:
      thread = try ThreadStarter.perform { () throws(Errno) in
        try Job.launch(job, origin, processors: processors)
      }
    }
    return WorkerThread(thread, outcome)
  }

  /// Makes a system call that the thread waits in fail with `.interrupted`, unless it is one that is made
  /// again. A thread that is not waiting notices nothing: who wants it out of a call nudges until it is.
  public borrowing func nudge(_ nudging: borrowing Nudging) {
    guard let thread else { return }
    // It fails only for a thread that has ended, which needs no nudge.
    _ = clinux_nudge(thread)
  }

  /// Waits until the thread's body has returned, and gives what it returned.
  public consuming func join() -> Result {
    guard let thread else { preconditionFailure("the thread is joined already") }
    self.thread = nil
    // The thread was started joinable and is joined here only.
    let code = pthread_join(thread, nil)
    precondition(code == 0, "pthread_join: \(Errno(rawValue: code)), a thread cannot join itself")
    return outcome.take()
  }

  deinit {
    guard let thread else { return }
    pthread_detach(thread)
    assertionFailure("a worker thread was dropped without join()")
  }
}

/// Whose what a new thread has without asking: seccomp filters, capabilities, network, processors, scheduling policy.
public enum ThreadOrigin: Sendable {
  /// That of the thread that starts it.
  case caller
  /// That of the thread that first made a device (ThreadStarter.swift), with the processors of the process's first
  /// thread, and no real-time policy unless that has one too: for a thread that outlives what its starter does, such
  /// as a virtual processor that is confined and pinned and writes DRIVER_OK.
  case process
}

/// Held by who nudges threads, from the first nudge until they are out of their calls.
///
/// Nudges are SIGURG. What this process does on that signal is set by whoever has a use for it, ignoring it and
/// SA_RESTART included. While there are values of this type a handler of ours stands in for it, without SA_RESTART,
/// and calls what stood there in all threads that are no worker threads. Afterwards all is as it was.
public struct Nudging: ~Copyable {
  /// Begins.
  public init() { clinux_nudges_begin() }

  deinit { clinux_nudges_end() }
}

/// What a new thread does, without its types: pthread_create passes one pointer.
///
/// Unchecked: whoever makes one gives it away to the thread that runs it.
class Job: @unchecked Sendable {
  func run() {}

  /// Starts a joinable thread that runs a job, with the signals of outside blocked.
  static func launch(
    _ job: Job, _ origin: ThreadOrigin, processors: [Int]?
  ) throws(Errno) -> pthread_t {
    var attributes = pthread_attr_t()
    // SAFETY: the attributes are a local, initialised here and destroyed on every way out.
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    // SAFETY: as above.
    if origin == .process { unsafe clinux_pthread_attr_of_process(&attributes) }
    if let processors {
      let mask = ProcessorMask(processors)
      // SAFETY: the call copies the mask's bytes before it returns.
      let code = unsafe mask.words.withUnsafeBytes { bytes in
        unsafe clinux_pthread_attr_setaffinity(&attributes, bytes.count, bytes.baseAddress)
      }
      guard code == 0 else { throw Errno(rawValue: code) }
    }

    // A thread inherits its mask, so the mask is set here: the thread never has a moment without. The
    // caller's own mask does not count: threads of libdispatch block more than should be blocked.
    let mask = SignalSet.asynchronous.restore()
    defer { mask.restore() }
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(job)
    // SAFETY: the new thread takes the reference that passRetained made; if there is no thread, it is
    // released below.
    let code = unsafe pthread_create(
      &thread, &attributes,
      { argument in
        if let argument = unsafe argument {
          unsafe Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().run()
        }
        return nil
      }, argument.toOpaque())
    guard code == 0 else {
      unsafe argument.release()
      throw Errno(rawValue: code)
    }
    return thread
  }
}

private final class TypedJob<State: ~Copyable & Sendable, Result: ~Copyable & Sendable>: Job,
  @unchecked Sendable
{
  private let name: String
  private var state: State?
  private let body: @Sendable (consuming State) -> Result
  private let outcome: Outcome<Result>

  init(
    name: String, state: consuming State, body: @escaping @Sendable (consuming State) -> Result,
    outcome: Outcome<Result>
  ) {
    self.name = name
    self.state = consume state
    self.body = body
    self.outcome = outcome
  }

  override func run() {
    CurrentThread.setName(name)
    clinux_set_nudgeable()
    guard let state = state.take() else { preconditionFailure("a job runs once") }
    outcome.put(body(state))
  }
}
