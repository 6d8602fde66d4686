// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Synchronization
import Testing

@testable import Linux

/// How often a handler of SIGURG ran.
private let urgentSignals = Atomic<Int>(0)
/// Whether a thread has come out of its call.
private let isOut = Atomic<Bool>(false)

/// Stands for a queue: it can be moved, not copied.
private struct Token: ~Copyable, Sendable {
  var value: Int
}

@Suite(.timeLimit(.minutes(20))) struct WorkerThreadTests {
  @Test func stateMovesInAndTheResultMovesOut() throws {
    let worker = try WorkerThread<Token>.start(name: "mover", state: Token(value: 20)) { token in
      var token = token
      token.value += 1
      return token
    }
    let back = worker.join()
    #expect(back.value == 21)
  }

  @Test func runsOnAnotherThreadUnderItsNameCutTo15Bytes() throws {
    let worker = try WorkerThread<(Int32, String)>.start(name: "a-name-that-is-too-long", state: 0)
    {
      _ in (CurrentThread.id, CurrentThread.name)
    }
    let (id, name) = worker.join()
    #expect(id != CurrentThread.id)
    #expect(name == "a-name-that-is-")
  }

  @Test("leaves restartable sequences, which it has from the C library")
  func leavesRestartableSequences() throws {
    let thread = try WorkerThread<Int32>.start(name: "with", state: ()) { _ in
      clinux_rseq_unregister()
    }
    #expect(thread.join() == 0)
    let other = try WorkerThread<Int32>.start(name: "without", state: ()) { _ in
      CurrentThread.leaveRestartableSequences()
      return clinux_rseq_unregister()
    }
    #expect(other.join() == -1)
  }

  /// What a program may have done with SIGURG before and after a thread began to wait.
  enum Disposition: String, Codable, CaseIterable {
    case untouched, ignored, handledAndRestarted, handledWithInformation

    func set() {
      var action = sigaction()
      switch self {
      case .untouched: return
      case .ignored: unsafe action.__sigaction_handler.sa_handler = SIG_IGN
      case .handledAndRestarted:
        unsafe action.__sigaction_handler.sa_handler = { _ in
          urgentSignals.add(1, ordering: .relaxed)
        }
        action.sa_flags = SA_RESTART
      case .handledWithInformation:
        unsafe action.__sigaction_handler.sa_sigaction = { _, _, _ in
          urgentSignals.add(1, ordering: .relaxed)
        }
        action.sa_flags = SA_RESTART | SA_SIGINFO
      }
      unsafe sigaction(SIGURG, &action, nil)
    }

    var isHandled: Bool { self == .handledAndRestarted || self == .handledWithInformation }
  }

  @Test(
    "a nudge ends a call whatever this process does on SIGURG, which stays so",
    arguments: [Disposition.untouched, .ignored, .handledAndRestarted, .handledWithInformation],
    [false, true])
  func nudgeOwnsNothing(_ disposition: Disposition, isLater: Bool) async {
    // A process of its own: what signals do belongs to all of it.
    await #expect(processExitsWith: .success) { [disposition, isLater] in
      if !isLater { disposition.set() }
      let pipe = try Pipe(nonBlocking: false)
      let reading = try pipe.reading.duplicate()
      let worker = try WorkerThread<Bool>.start(name: "waits", state: reading) { reading in
        defer { isOut.store(true, ordering: .relaxed) }
        do {
          _ = try reading.readOnce(upTo: 1)
          return false
        } catch {
          return error as? Errno == .interrupted
        }
      }
      if isLater { disposition.set() }
      var before = sigaction()
      unsafe sigaction(SIGURG, nil, &before)
      do {
        let nudging = Nudging()
        // One that comes just before the call is lost, so again and again.
        while !isOut.load(ordering: .relaxed) {
          worker.nudge(nudging)
          usleep(1000)
        }
        // A signal that is not a nudge still comes to the process's own handler.
        if disposition.isHandled {
          kill(getpid(), SIGURG)
          while urgentSignals.load(ordering: .relaxed) == 0 { usleep(1000) }
        }
      }
      let wasInterrupted = worker.join()
      // Until now nothing could be read.
      _ = consume pipe
      var after = sigaction()
      unsafe sigaction(SIGURG, nil, &after)
      let isSame =
        unsafe unsafeBitCast(before.__sigaction_handler.sa_handler, to: Int.self)
        == unsafeBitCast(after.__sigaction_handler.sa_handler, to: Int.self)
      exit(wasInterrupted && isSame ? 0 : 1)
    }
  }

  @Test func signalsFromOutsideAreBlockedAndFaultsAreNot() throws {
    let before = SignalSet.blocked
    let worker = try WorkerThread<SignalSet>.start(name: "mask", state: 0) { _ in SignalSet.blocked
    }
    let mask = worker.join()
    for signal: Signal in [.terminate, .interrupt, .hangup, .pipe, .user1, .windowChange, .child] {
      #expect(mask.contains(signal))
      #expect(SignalSet.blocked.contains(signal) == before.contains(signal))
    }
    for number in [SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT] {
      #expect(!mask.contains(Signal(rawValue: number)))
    }
  }

  @Test func staysOnTheProcessorThatWasAskedFor() throws {
    let last = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    let worker = try WorkerThread<[Int]>.start(name: "pinned", processors: [last], state: 0) { _ in
      CurrentThread.processors
    }
    #expect(worker.join() == [last])
  }

  @Test func aProcessorThatDoesNotExistIsAnErrorAndTheStateIsDestroyed() throws {
    let pipe = try Pipe(nonBlocking: false)
    #expect(throws: Errno.invalidArgument) {
      let writing = try pipe.writing.duplicate()
      try startOnNoProcessor(writing)
    }
    // The state was the only writer but this one, so when this one goes the reader sees the end.
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(try seesEnd(reading))
    #expect(throws: Errno.invalidArgument) { try CurrentThread.setProcessors([]) }
  }

  @Test func workerThatIsDroppedStopsADebugBuildAndRunsOnInARelease() async {
    #if DEBUG
      await #expect(processExitsWith: .failure) { try dropWorker() }
    #else
      await #expect(processExitsWith: .success) { try dropWorker() }
    #endif
  }

  @Test func manyThreadsComeAndGo() throws {
    for round in 0..<200 {
      let worker = try WorkerThread<Int>.start(name: "round", state: round) { $0 * 2 }
      #expect(worker.join() == round * 2)
    }
  }
}

private func startOnNoProcessor(_ state: consuming FileDescriptor) throws {
  let worker = try WorkerThread<Int>.start(name: "nowhere", processors: [1023], state: state) { _ in
    0
  }
  _ = worker.join()
}

/// Starts a worker and forgets it; returns when the worker has done its work all the same.
private func dropWorker() throws {
  let done = try EventFD(nonBlocking: false)
  try startAndForget(EventFD(adopting: done.descriptor.duplicate()))
  done.drain()
}

private func startAndForget(_ done: consuming EventFD) throws {
  _ = try WorkerThread<Int>.start(name: "dropped", state: done) { done in
    done.signal()
    return 0
  }
}
