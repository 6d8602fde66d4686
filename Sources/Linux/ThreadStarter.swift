// SPDX-License-Identifier: Apache-2.0
//
// ThreadStarter: the thread that starts others.
//
// A new thread has what the one that starts it has: its seccomp filters, its capabilities, its network, its
// priority. A monitor confines its virtual processors, and it is one of those that writes DRIVER_OK and so starts a
// queue, whose thread would then be refused what serves the queue. Nothing takes a filter off again. So one thread is
// started early, while devices are made, and starts the threads of queues when they are wanted. It has no work of its
// own and stays until the process ends.

import Glibc
import Synchronization

/// The thread that starts others, of which a process has one.
///
/// What it does for others is done one by one, and is short: it starts threads and sets up rings.
public enum ThreadStarter {
  private static let current = Mutex<Starter?>(nil)

  /// Starts the thread where there is none yet, so that what it starts has what the caller has now.
  ///
  /// Where there are too many threads nothing happens: who wants a thread of it is the one who is refused.
  public static func prepare() { _ = try? starter() }

  /// Does something on the thread that starts others, which is started where there is none, and waits for its end.
  ///
  /// - Parameter body: what is done. It must not wait.
  /// - Throws: what `body` throws, or `.again` when there are too many threads.
  package static func perform<Value: ~Copyable & Sendable>(
    _ body: @escaping @Sendable () throws(Errno) -> Value
  ) throws(Errno) -> Value {
    let outcome = Outcome<Result<Value, Errno>>()
    try starter().perform {
      do throws(Errno) {
        outcome.put(.success(try body()))
      } catch {
        outcome.put(.failure(error))
      }
    }
    return try outcome.take().get()
  }

  private static func starter() throws(Errno) -> Starter {
    try current.withLock { current throws(Errno) in
      // A child that was forked has this memory, and not the thread.
      if let current, current.process == getpid() { return current }
      let starter = Starter()
      try starter.start()
      current = starter
      return starter
    }
  }
}

/// What the callers and the thread share.
///
/// Unchecked: `work` is written by the one caller that holds `turn`, before it posts `wanted`, and read by the thread
/// after that; the caller goes on after `done`.
private final class Starter: @unchecked Sendable {
  let process = getpid()
  private let turn = Mutex(())
  private let wanted = Semaphore()
  private let done = Semaphore()
  private var work: (() -> Void)?

  func start() throws(Errno) {
    let thread = try Job.launch(StarterJob(self), .caller, processors: nil)
    pthread_detach(thread)
  }

  func perform(_ work: @escaping () -> Void) {
    turn.withLock { _ in
      self.work = work
      wanted.post()
      done.wait()
    }
  }

  func run() {
    CurrentThread.setName("thread-starter")
    while true {
      wanted.wait()
      work?()
      // What the work holds is the caller's again, and goes with it.
      work = nil
      done.post()
    }
  }
}

private final class StarterJob: Job, @unchecked Sendable {
  private let starter: Starter

  init(_ starter: Starter) { self.starter = starter }

  override func run() { starter.run() }
}

/// An unnamed semaphore (sem_overview(7)).
@safe
private final class Semaphore: @unchecked Sendable {
  // Unchecked: any thread may post and wait.
  private let word: UnsafeMutablePointer<sem_t>

  init() {
    // SAFETY: freed in deinit, and written here before anybody reads it.
    unsafe word = .allocate(capacity: 1)
    // SAFETY: freshly allocated.
    unsafe word.initialize(to: sem_t())
    // SAFETY: as above. It can fail for a value that is too large only.
    unsafe sem_init(word, 0, 0)
  }

  deinit {
    // SAFETY: nobody waits: whoever does holds a reference.
    unsafe sem_destroy(word)
    unsafe word.deallocate()
  }

  // SAFETY: initialised in init.
  func post() { unsafe sem_post(word) }

  func wait() {
    // SAFETY: initialised in init. A signal handler may have interrupted it; it fails for nothing else.
    while unsafe sem_wait(word) != 0 {}
  }
}
