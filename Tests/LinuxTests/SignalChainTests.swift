// SPDX-License-Identifier: Apache-2.0
//
// Signals that are not ours, where somebody else had a handler before. Each test has a process of its own: handlers are
// everybody's.

import CLinux
import Glibc
import HostTesting
import Testing

@testable import Linux

/// How often a handler of the tests was called.
nonisolated(unsafe) private let calls: UnsafeMutablePointer<Int> = {
  // SAFETY: memory of our own that lives as long as the process.
  let memory = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  unsafe memory.initialize(to: 0)
  return unsafe memory
}()

/// A file of one page that was cut off, and a second mapping that nobody contains.
private struct CutMapping: ~Copyable {
  let kept: SharedMapping
  let strange: MemoryMapping

  static func make() throws -> CutMapping {
    let file = try Memfd.create(name: "cut", size: 4096)
    let kept = try SharedMapping(containingFaultsIn: MemoryMapping(file, length: 4096))
    let strange = try MemoryMapping(file, length: 4096)
    try file.truncate(to: 0)
    return CutMapping(kept: kept, strange: strange)
  }
}

@inline(never)
private func touch(_ address: UInt) -> UInt8 {
  // SAFETY: the tests touch what they mapped.
  unsafe UnsafeMutableRawPointer(bitPattern: address)?.load(as: UInt8.self) ?? 0
}

/// Sets a handler that is told nothing but the number.
private func handle(
  _ number: Int32, flags: Int32 = 0, _ handler: @escaping @convention(c) (Int32) -> Void
) {
  // SAFETY: the action is a local; the handler touches one word of its own.
  var action = sigaction()
  unsafe action.__sigaction_handler.sa_handler = handler
  action.sa_flags = flags
  unsafe sigemptyset(&action.sa_mask)
  unsafe sigaction(number, &action, nil)
}

@Suite(.timeLimit(.minutes(20))) struct SignalChainTests {
  @Test func `a SIGBUS that is not ours goes to the handler before, and ours stays`() async {
    await #expect(processExitsWith: .success) {
      unsafe calls.pointee = 0
      handle(SIGBUS) { _ in unsafe calls.pointee += 1 }
      let first = try CutMapping.make()
      for expected in 1...3 {
        raise(SIGBUS)
        guard unsafe calls.pointee == expected else { exit(1) }
      }
      // One that is ours.
      guard touch(first.kept.address) == 0, first.kept.isPoisoned else { exit(2) }
      guard unsafe calls.pointee == 3 else { exit(3) }
    }
  }

  @Test func `a handler before that is told where the fault was can mend it`() async {
    await #expect(processExitsWith: .success) {
      unsafe calls.pointee = 0
      // SAFETY: the action is a local; the handler maps a page where the fault was, which is a page of the test's.
      var action = sigaction()
      unsafe action.__sigaction_handler.sa_sigaction = { _, info, _ in
        guard let info = unsafe info else { _exit(4) }
        let address = UInt(bitPattern: unsafe info.pointee._sifields._sigfault.si_addr)
        let page = unsafe UnsafeMutableRawPointer(bitPattern: address / 4096 * 4096)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
        _ = unsafe mmap(page, 4096, PROT_READ | PROT_WRITE, flags, -1, 0)
        unsafe calls.pointee += 1
      }
      action.sa_flags = SA_SIGINFO
      unsafe sigemptyset(&action.sa_mask)
      unsafe sigaction(SIGBUS, &action, nil)
      for expected in 1...3 {
        let cut = try CutMapping.make()
        guard touch(cut.strange.address) == 0, unsafe calls.pointee == expected else { exit(1) }
        guard !cut.kept.isPoisoned, touch(cut.kept.address) == 0, cut.kept.isPoisoned else {
          exit(2)
        }
        guard unsafe calls.pointee == expected else { exit(3) }
      }
    }
  }

  @Test func `a SIGBUS that was sent is ignored where it was before, and a fault ends the process`()
    async
  {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      Signal(rawValue: SIGBUS).ignore()
      let cut = try CutMapping.make()
      raise(SIGBUS)
      raise(SIGBUS)
      guard touch(cut.kept.address) == 0, cut.kept.isPoisoned else { exit(1) }
      raise(SIGBUS)
      _ = touch(cut.strange.address)
    }
  }

  @Test func `a handler before that wanted one call gets one`() async {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      unsafe calls.pointee = 0
      handle(SIGBUS, flags: Int32(bitPattern: UInt32(SA_RESETHAND))) { _ in
        unsafe calls.pointee += 1
      }
      let cut = try CutMapping.make()
      raise(SIGBUS)
      guard unsafe calls.pointee == 1, touch(cut.kept.address) == 0 else { exit(1) }
      _ = touch(cut.strange.address)
      exit(2)
    }
  }

  @Test func `a fault that somebody handles leaves the terminal raw, again and again`() async {
    await #expect(processExitsWith: .signal(SIGSEGV)) {
      unsafe calls.pointee = 0
      handle(SIGSEGV) { _ in unsafe calls.pointee += 1 }
      let pty = try PseudoTerminal()
      let other = try FileDescriptor.open(pty.path, [.readWrite, .noControllingTerminal])
      let raw = try RawTerminal(other)
      for expected in 1...3 {
        raise(SIGSEGV)
        guard unsafe calls.pointee == expected else { exit(1) }
        guard try !Terminal(other.raw).settings().echoes else { exit(2) }
      }
      _ = consume raw
      guard try Terminal(other.raw).settings().echoes else { exit(3) }
      signal(SIGSEGV, SIG_DFL)
      raise(SIGSEGV)
    }
  }
}
