// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct FileLockTests {
  @Test func anotherOpeningIsKeptOutUntilTheLockIsGivenUp() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("image")
    let first = try FileDescriptor.open(path, [.readWrite, .create])
    let second = try FileDescriptor.open(path, .readWrite)

    #expect(try first.lockBytes(.write, start: 100, length: 1))
    #expect(try !second.lockBytes(.write, start: 100, length: 1))
    #expect(try !second.lockBytes(.read, start: 0, length: 0))
    #expect(try second.lockBytes(.write, start: 101, length: 1))
    #expect(try second.probeLock(.read, start: 100, length: 1) == .write)
    #expect(try second.probeLock(.write, start: 50, length: 50) == nil)
    #expect(try first.probeLock(.write, start: 100, length: 1) == nil)

    try first.unlockBytes(start: 100, length: 1)
    #expect(try second.lockBytes(.write, start: 100, length: 1))
  }

  @Test func readersShareAndKeepAWriterOut() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("image")
    let first = try FileDescriptor.open(path, [.readWrite, .create])
    let second = try FileDescriptor.open(path, .readWrite)
    #expect(try first.lockBytes(.read, start: 200, length: 2))
    #expect(try second.lockBytes(.read, start: 201, length: 2))
    #expect(try !second.lockBytes(.write, start: 201, length: 1))
    #expect(try second.probeLock(.write, start: 200, length: 1) == .read)
  }

  @Test func aDuplicateSharesTheLocksAndKeepsThem() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("image")
    let other = try FileDescriptor.open(path, [.readWrite, .create])
    let copy = try lockedCopy(path)
    #expect(try !other.lockBytes(.write, start: 0, length: 1))
    #expect(try copy.lockBytes(.read, start: 0, length: 1))
    #expect(try other.lockBytes(.read, start: 0, length: 1))
  }

  @Test func waitingEndsWhenTheOtherGivesUp() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("image")
    let first = try FileDescriptor.open(path, [.readWrite, .create])
    let second = try FileDescriptor.open(path, .readWrite)
    #expect(try first.lockBytes(.write, start: 0, length: 1))
    let worker = try WorkerThread<Bool>.start(name: "locker", state: second) { file in
      (try? file.lockBytes(.write, start: 0, length: 1, wait: true)) ?? false
    }
    try first.unlockBytes(start: 0, length: 1)
    let locked = worker.join()
    #expect(locked)
  }

  @Test func aLockNeedsTheRightAccess() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("image")
    let reader = try FileDescriptor.open(path, [.readOnly, .create])
    #expect(throws: Errno.badFileDescriptor) {
      _ = try reader.lockBytes(.write, start: 0, length: 1)
    }
    #expect(try reader.lockBytes(.read, start: 0, length: 1))
  }
}

/// A duplicate of a locked file whose first descriptor is closed.
private func lockedCopy(_ path: String) throws -> FileDescriptor {
  let file = try FileDescriptor.open(path, .readWrite)
  #expect(try file.lockBytes(.write, start: 0, length: 1))
  return try file.duplicate()
}
