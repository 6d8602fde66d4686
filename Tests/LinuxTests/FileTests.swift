// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct FileTests {
  @Test func openMakesAFileThatIsClosedOnExec() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("new")
    #expect(throws: Errno.notFound) { _ = try FileDescriptor.open(path, .readWrite) }
    let file = try FileDescriptor.open(path, [.readWrite, .create, .exclusive], mode: 0o600)
    #expect(fcntl(file.raw, F_GETFD) & FD_CLOEXEC != 0)
    #expect(try FileSystem.status(of: path).permissions == 0o600)
    #expect(throws: Errno.exists) {
      _ = try FileDescriptor.open(path, [.readWrite, .create, .exclusive])
    }
  }

  @Test func positionedReadsAndWritesLeaveTheStreamAlone() throws {
    let directory = try TemporaryDirectory()
    let file = try FileDescriptor.open(directory.path, [.readWrite, .temporary])
    #expect(try file.write([1, 2, 3, 4], at: 10) == 4)
    try file.writeAll([9, 9])
    var bytes: [UInt8] = [7, 7, 7, 7, 7]
    #expect(try file.read(into: &bytes, at: 11) == 3)
    #expect(bytes == [2, 3, 4, 7, 7])
    #expect(try file.read(into: &bytes, at: 0) == 5)
    #expect(bytes == [9, 9, 0, 0, 0])
    #expect(try file.read(into: &bytes, at: 14) == 0)
    try file.sync()
  }

  @Test func positionsPast63BitsAreRefusedWithoutATrap() throws {
    let file = try Memfd.create(name: "positions", size: 0)
    #expect(throws: Errno.invalidArgument) { _ = try file.write([1], at: UInt64(Int64.max) + 1) }
    var bytes: [UInt8] = [0]
    #expect(throws: Errno.invalidArgument) { _ = try file.read(into: &bytes, at: .max) }
    #expect(throws: Errno.invalidArgument) { try file.truncate(to: .max) }
    #expect(throws: Errno.invalidArgument) { _ = try file.seekData(from: .max) }
    #expect(throws: Errno.invalidArgument) { try file.allocate(.zero, at: .max, count: 1) }
    #expect(throws: Errno.invalidArgument) { _ = try file.lockBytes(.read, start: 0, length: .max) }
  }

  @Test func statusTellsKindsApart() throws {
    let directory = try TemporaryDirectory()
    let file = try FileDescriptor.open(directory.path, [.readWrite, .temporary])
    try file.truncate(to: 12345)
    let status = try file.status()
    #expect(status.kind == .regular)
    #expect(status.size == 12345)
    #expect(status.allocatedSize == 0)
    #expect(status.blockSize >= 512)
    #expect(try FileSystem.status(of: directory.path).kind == .directory)
    #expect(try FileSystem.status(of: "/dev/null").kind == .characterDevice)
    #expect(try Pipe(nonBlocking: false).reading.status().kind == .fifo)
    #expect(try EventFD().descriptor.status().kind == .anonymous)
    let other = try FileDescriptor.open(directory.path, [.readWrite, .temporary]).status()
    #expect(other.inode != status.inode)
    #expect(other.device == status.device)
  }

  @Test func namesAreMovedAndRemoved() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("one")
    _ = try FileDescriptor.open(path, [.writeOnly, .create])
    #expect(FileSystem.exists(path))
    try FileSystem.setPermissions(of: path, to: 0o640)
    #expect(try FileSystem.status(of: path).permissions == 0o640)
    try FileSystem.rename(path, to: directory.file("two"))
    #expect(!FileSystem.exists(path))
    try FileSystem.remove(directory.file("two"))
    #expect(throws: Errno.notFound) { try FileSystem.remove(path) }
    try FileSystem.makeDirectory(directory.file("inner"), mode: 0o700)
    #expect(try FileSystem.status(of: directory.file("inner")).kind == .directory)
    try FileSystem.removeDirectory(directory.file("inner"))
  }

  @Test func allocationReservesPunchesAndZeroes() throws {
    let file = try Memfd.create(name: "allocation", size: 0)
    try file.allocate(.extend, at: 0, count: 16384)
    #expect(try file.status().size == 16384)
    #expect(try file.status().allocatedSize == 16384)
    _ = try file.write([UInt8](repeating: 5, count: 16384), at: 0)
    try file.allocate(.punchHole, at: 4096, count: 4096)
    #expect(try file.status().allocatedSize == 12288)
    var bytes: [UInt8] = [1, 1]
    _ = try file.read(into: &bytes, at: 4095)
    #expect(bytes == [5, 0])
    try file.allocate(.reserve, at: 16384, count: 4096)
    #expect(try file.status().size == 16384)
    #expect(throws: Errno.notSupported) { try file.allocate(.zero, at: 0, count: 4096) }
    #expect(throws: Errno.invalidArgument) { try file.allocate(.extend, at: 0, count: 0) }
  }

  @Test func dataAndHolesAreFound() throws {
    let file = try Memfd.create(name: "holes", size: 65536)
    _ = try file.write([1], at: 8192)
    #expect(try file.seekData(from: 0) == 8192)
    #expect(try file.seekHole(from: 8192) == 12288)
    #expect(try file.seekData(from: 12288) == nil)
    #expect(try file.seekHole(from: 65536) == nil)
  }

  @Test func anOrdinaryFileIsNoBlockDevice() throws {
    let file = try Memfd.create(name: "no-disk", size: 4096)
    #expect(throws: Errno.inappropriateIoctl) { _ = try file.blockDeviceSize() }
    #expect(throws: Errno.inappropriateIoctl) { _ = try file.logicalBlockSize() }
    #expect(throws: Errno.inappropriateIoctl) { _ = try file.physicalBlockSize() }
    #expect(throws: Errno.inappropriateIoctl) { try file.discardBlocks(at: 0, count: 512) }
    #expect(throws: Errno.inappropriateIoctl) { try file.zeroBlocks(at: 0, count: 512) }
  }

  @Test func sealsForbidForEver() throws {
    let file = try Memfd.create(name: "sealed", size: 8192)
    #expect(try file.seals() == [])
    try file.addSeals([.shrink, .seal])
    #expect(try file.seals() == [.shrink, .seal])
    #expect(throws: Errno.permission) { try file.truncate(to: 4096) }
    try file.truncate(to: 16384)
    #expect(throws: Errno.permission) { try file.addSeals(.grow) }
    #expect(throws: Errno.invalidArgument) { _ = try Pipe(nonBlocking: false).reading.seals() }
  }
}
