// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Testing

@testable import Linux

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
