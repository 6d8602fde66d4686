// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Linux
import Testing

@testable import Backends

@Suite("An image", .timeLimit(.minutes(20)))
struct BlockImageTests {
  private func refusal(_ options: BlockOptions) throws -> String {
    let error = #expect(throws: DeviceError.self) {
      try BlockDevice(name: "block0", options: options)
    }
    let line = try #require(error).description
    #expect(!line.contains("\n"))
    return line
  }

  @Test("that is missing, a directory, or no disk at all is refused by name")
  func kinds() throws {
    let directory = try TemporaryDirectory()
    let missing = directory.file("none.img")
    #expect(
      try refusal(BlockOptions(path: missing))
        == "cannot serve image \(missing): there is no such file; "
        + "make one with 'truncate -s 1G \(missing)'")
    #expect(
      try refusal(BlockOptions(path: directory.path))
        == "cannot serve image \(directory.path): it is a directory; name a file in it")
    var readOnly = BlockOptions(path: directory.path)
    readOnly.isReadOnly = true
    #expect(try refusal(readOnly).hasSuffix("neither a regular file nor a block device; name one"))
    #expect(
      try refusal(BlockOptions(path: "/dev/null"))
        .hasSuffix("neither a regular file nor a block device; name one"))
    // Opening it must not wait for a writer.
    var pipe = BlockOptions(path: try directory.makeFIFO("pipe"))
    #expect(try refusal(pipe).hasSuffix("neither a regular file nor a block device; name one"))
    pipe.isReadOnly = true
    #expect(try refusal(pipe).hasSuffix("neither a regular file nor a block device; name one"))
  }

  @Test("is not blamed where there is no /proc")
  func withoutProc() {
    #expect(
      BlockImage.reopening(.notFound, "serve image x").description
        == "cannot serve image x: there is no /proc to open it again with; mount it with "
        + "'mount -t proc proc /proc'")
    #expect(
      BlockImage.reopening(.tooManyOpenFiles, "serve image x").description
        == "cannot serve image x: Too many open files; raise the limit of open files (ulimit -n)")
  }

  @Test("shorter than a block is refused", arguments: [0, 1, 511])
  func short(byteCount: Int) throws {
    let image = try TestImage(byteCount: byteCount)
    #expect(
      try refusal(image.options).hasSuffix(
        "it has \(byteCount) bytes, less than a block of 512; make it longer, or name another"))
  }

  @Test("is refused with options that make no sense")
  func options() throws {
    let image = try TestImage(byteCount: 4096)
    var options = image.options
    options.serial = "123456789012345678901"
    #expect(try refusal(options).contains("longer than 20 bytes"))
    options = image.options
    options.blockSize = 1024
    #expect(try refusal(options).contains("block size 1024 is neither 512 nor 4096"))
    options = image.options
    options.queueCount = 0
    #expect(try refusal(options).contains("0 queues: give 1 to 256"))
    options.queueCount = 2
    options.isLegacy = true
    #expect(try refusal(options).contains("one queue only"))
    #expect(try refusal(BlockOptions(path: "")).contains("no path"))
  }

  @Test("that is said to be raw is served as the bytes that it has, whatever they look like")
  func neverInterpreted() throws {
    let image = try TestImage(byteCount: 1 << 16)
    _ = try Command("qemu-img", ["create", "-f", "qcow2", image.path, "1G"]).run()
    let size = try FileSystem.status(of: image.path).size
    var options = image.options
    #expect(try refusal(options).contains("it looks like a qcow2 image"))
    options.format = .raw
    let device = try blockDevice(options)
    #expect(device.byteCount == size / 512 * 512)
    let bed = try BlockBed(device)
    #expect(try bed.read(0, 512).data.prefix(4) == [0x51, 0x46, 0x49, 0xfb])
    bed.stop()
  }

  @Test("whose guest writes the mark of another format goes on, and needs format=raw from then on")
  func guestWritesMark() throws {
    let image = try TestImage(byteCount: 1 << 16)
    do {
      let bed = try BlockBed(try blockDevice(image.options))
      #expect(try bed.write(0, [0x51, 0x46, 0x49, 0xfb] + pattern(508)).status == 0)
      #expect(try bed.read(0, 512).data.prefix(4) == [0x51, 0x46, 0x49, 0xfb])
      bed.stop()
    }
    var options = image.options
    #expect(try refusal(options).contains("it looks like a qcow2 image"))
    options.format = .raw
    #expect(try blockDevice(options).byteCount == 1 << 16)
  }

  @Test("has a line for what is behind its last whole block")
  func rest() throws {
    let image = try TestImage(byteCount: 4096 + 188)
    let device = try blockDevice(image.options)
    #expect(
      device.sizeNote
        == "\(image.path): its last bytes, 188 from byte 4096 on, are less than a block of 512 and"
        + " not on the disk; make it longer with 'truncate -s %512 \(image.path)'")
    try image.resize(to: 8192)
    try device.refreshSize()
    #expect(device.sizeNote == nil)
    #expect(device.byteCount == 8192)
    // Less than a block more: the disk stays as large, and that is said.
    try image.resize(to: 8193)
    try device.refreshSize()
    #expect(device.sizeNote?.contains("its last bytes, 1 from byte 8192 on") == true)
  }

  @Test("on a block device is served", arguments: BlockOptions.Cache.allCases)
  func onABlockDevice(cache: BlockOptions.Cache) throws {
    let image = try TestImage(pattern(1 << 16))
    let loop = try LoopDevice(image.path)
    var options = BlockOptions(path: loop.path)
    options.cache = cache
    let device = try BlockDevice(name: "block0", options: options)
    #expect(device.byteCount == 1 << 16)
    let bed = try BlockBed(device)
    #expect(try bed.read(8, 4096).data == Array(pattern(1 << 16)[4096..<8192]))
    #expect(try bed.write(8, pattern(4096, seed: 7)).status == 0)
    #expect(try bed.flush().status == 0)
    // What was not synced is the loop device's alone.
    let path = cache == .neverSynced ? loop.path : image.path
    var bytes = [UInt8](repeating: 0, count: 4096)
    _ = try FileDescriptor.open(path, .readOnly).read(into: &bytes, at: 4096)
    #expect(bytes == pattern(4096, seed: 7))
  }

  @Test("on a block device that the system uses can be read only")
  func usedBlockDevice() throws {
    let image = try TestImage(byteCount: 1 << 16)
    let loop = try LoopDevice(image.path)
    var options = BlockOptions(path: loop.path)
    // As a mount has it.
    let user = try FileDescriptor.open(loop.path, [.readOnly, .exclusive])
    #expect(try refusal(options).contains("it is mounted, or this machine uses it otherwise;"))
    options.isReadOnly = true
    _ = try BlockDevice(name: "block0", options: options)
    _ = consume user
    options.isReadOnly = false
    let device = try blockDevice(options)
    #expect(throws: Errno.busy) {
      _ = try FileDescriptor.open(loop.path, [.readOnly, .exclusive])
    }
    #expect(device.byteCount == 1 << 16)
  }

  @Test("without direct I/O is refused with cache=none, and told what to do")
  func noDirect() throws {
    // sysfs has no direct I/O. Its files say that they have a page.
    var options = BlockOptions(path: "/sys/kernel/uevent_seqnum")
    options.isReadOnly = true
    _ = try BlockDevice(name: "block0", options: options)
    options.cache = .none
    #expect(
      try refusal(options).hasSuffix("its file system has no direct I/O; use cache=writeback"))
  }
}

/// A block device on a file, for as long as this lives.
private final class LoopDevice {
  let path: String

  init(_ file: String) throws {
    let made = try Command("losetup", ["-f", "--show", file]).run()
    path = String(decoding: made.output.dropLast(), as: UTF8.self)
    try #require(made.code == 0 && path.hasPrefix("/dev/loop"), "\(made)")
  }

  deinit { _ = try? Command("losetup", ["-d", path]).run() }
}
