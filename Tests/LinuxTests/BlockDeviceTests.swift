// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Linux

/// A loop device over a memory file: a real block device that needs no disk.
private struct LoopDevice: ~Copyable {
  let descriptor: FileDescriptor
  let file: FileDescriptor

  // <linux/loop.h>
  private static let getFree: UInt = 0x4C82
  private static let setFD: UInt = 0x4C00
  private static let clearFD: UInt = 0x4C01

  init(size: UInt64) throws {
    let file = try Memfd.create(name: "loop", size: size)
    let control = try FileDescriptor.open("/dev/loop-control", .readWrite)
    while true {
      let number = try systemCall(retryOnInterrupt: true) { ioctl(control.raw, Self.getFree, 0) }
      let path = "/dev/loop\(number)"
      if !FileSystem.exists(path) {
        // SAFETY: the path is a terminated string during the call.
        _ = try systemCall(retryOnInterrupt: false) {
          unsafe mknod(path, S_IFBLK | 0o600, makedev(7, UInt32(number)))
        }
      }
      let device = try FileDescriptor.open(path, .readWrite)
      // Somebody else may have taken it in between.
      if ioctl(device.raw, Self.setFD, file.raw) == -1 {
        guard Errno.current == .busy else { throw Errno.current }
        continue
      }
      self.file = file
      descriptor = device
      return
    }
  }

  deinit { _ = ioctl(descriptor.raw, Self.clearFD, 0) }
}

private func makedev(_ major: UInt32, _ minor: UInt32) -> dev_t {
  dev_t(major) << 8 | dev_t(minor & 0xff) | dev_t(minor & ~0xff) << 12
}

@Suite(.timeLimit(.minutes(20))) struct BlockDeviceTests {
  @Test func sizesAreToldAndRangesAreZeroed() throws {
    let loop = try LoopDevice(size: 1 << 20)
    let device = try loop.descriptor.duplicate()
    #expect(try device.status().kind == .blockDevice)
    #expect(try device.blockDeviceSize() == 1 << 20)
    #expect(try device.logicalBlockSize() == 512)
    #expect(try device.physicalBlockSize() == 512)

    _ = try device.write([UInt8](repeating: 7, count: 16384), at: 0)
    try device.zeroBlocks(at: 4096, count: 4096)
    try device.discardBlocks(at: 8192, count: 4096)
    try device.sync()
    var bytes: [UInt8] = [1, 1]
    _ = try device.read(into: &bytes, at: 4095)
    #expect(bytes == [7, 0])
    _ = try device.read(into: &bytes, at: 12287)
    #expect(bytes == [0, 7])
    #expect(throws: Errno.invalidArgument) { try device.zeroBlocks(at: 1, count: 512) }
  }
}
