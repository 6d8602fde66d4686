// SPDX-License-Identifier: Apache-2.0
//
// Image locks, with QEMU's own programs on the other side.

import Glibc
import HostTesting
import Linux
import Testing

@testable import Backends

@Suite("Image locks", .timeLimit(.minutes(20)))
struct BlockLockTests {
  private func open(_ path: String, readOnly: Bool = false) throws(DeviceError) -> BlockDevice {
    var options = BlockOptions(path: path)
    options.isReadOnly = readOnly
    return try BlockDevice(name: "block0", options: options)
  }

  /// A disk that is to be had, at once or soon.
  private func disk(_ path: String, readOnly: Bool = false) throws(DeviceError) -> BlockDevice {
    var options = BlockOptions(path: path)
    options.isReadOnly = readOnly
    return try blockDevice(options)
  }

  private func qemuIO(_ path: String, readOnly: Bool = false, _ command: String) throws
    -> Command.Result
  {
    try Command("qemu-io", (readOnly ? ["-r"] : []) + ["-f", "raw", "-c", command, path]).run()
  }

  /// Waits until somebody has locked a byte of an image.
  private func isLocked(_ image: TestImage, _ byte: UInt64) throws -> Bool {
    let file = try FileDescriptor.open(image.path, .readOnly)
    return try eventually { try file.probeLock(.write, start: byte, length: 1) != nil }
  }

  /// QEMU's daemon with the image open.
  private func daemon(_ image: TestImage, readOnly: Bool) throws -> RunningCommand {
    let mode = readOnly ? "on" : "off"
    let running = try Command(
      "qemu-storage-daemon",
      [
        "--blockdev", "driver=file,node-name=f,filename=\(image.path),locking=on,read-only=\(mode)",
        "--export",
        "vhost-user-blk,id=e,node-name=f,writable=\(readOnly ? "off" : "on"),"
          + "addr.type=unix,addr.path=\(image.directory.file("qsd.sock"))",
      ]
    ).start()
    try #require(try isLocked(image, 100), "QEMU does not start")
    return running
  }

  private func refusal(_ path: String, readOnly: Bool = false) throws -> String {
    let error = #expect(throws: DeviceError.self) { try open(path, readOnly: readOnly) }
    return try #require(error).description
  }

  @Test("that the file system refuses are said to be, with what to do")
  func refused() throws {
    let image = try TestImage(byteCount: 4096)
    // The kernel gives no shared lock to who cannot read.
    let file = try FileDescriptor.open(image.path, .writeOnly)
    let error = #expect(throws: DeviceError.self) {
      try ImageLock.take(file, writable: true, action: "serve image x")
    }
    #expect(
      error?.description
        == "cannot serve image x: its file system refuses locks (Bad file descriptor);"
        + " move it to one that has them, such as a local one")
  }

  @Test("of a disk keep QEMU from writing and from reading what may change")
  func keepsOut() throws {
    let image = try TestImage(byteCount: 1 << 20)
    var device: BlockDevice? = try disk(image.path)
    let write = try qemuIO(image.path, "write 0 512")
    #expect(write.code != 0)
    #expect(write.text.contains("Failed to get \"write\" lock"), "\(write.text)")
    #expect(try qemuIO(image.path, "read 0 512").code != 0)
    let copy = image.directory.file("copy.img")
    let convert = ["convert", "-f", "raw", "-O", "raw", image.path, copy]
    #expect(try Command("qemu-img", convert).run().code != 0)
    // As beside a virtual machine, a look that minds nothing is allowed.
    #expect(try Command("qemu-img", ["info", image.path]).run().code == 0)
    _ = device
    device = nil
    #expect(try eventually { try qemuIO(image.path, "write 0 512").code == 0 })
  }

  @Test("of a read-only disk let QEMU read, and keep it from writing")
  func sharesReading() throws {
    let image = try TestImage(byteCount: 1 << 20)
    let device = try disk(image.path, readOnly: true)
    let write = try qemuIO(image.path, "write 0 512")
    #expect(write.code != 0)
    #expect(write.text.contains("Failed to get \"write\" lock"), "\(write.text)")
    let read = try qemuIO(image.path, readOnly: true, "read 0 512")
    #expect(read.code == 0, "\(read.text)")
    #expect(try Command("qemu-img", ["info", image.path]).run().code == 0)
    withExtendedLifetime(device) {}
  }

  @Test("of a QEMU that writes keep every disk away, by the image's name")
  func keptOut() throws {
    let image = try TestImage(byteCount: 1 << 20)
    let running = try daemon(image, readOnly: false)
    let line = try refusal(image.path)
    #expect(line.hasPrefix("cannot serve image \(image.path): it is in use by another process"))
    #expect(!line.contains("\n"))
    #expect(try refusal(image.path, readOnly: true).contains("in use by another process"))
    running.end()
    _ = try disk(image.path)
  }

  @Test("of a QEMU that reads let a read-only disk share")
  func sharedReading() throws {
    let image = try TestImage(byteCount: 1 << 20)
    let running = try daemon(image, readOnly: true)
    _ = try disk(image.path, readOnly: true)
    running.end()
  }

  @Test("of a virtual machine keep a writing disk away even where the machine only reads")
  func machine() throws {
    let image = try TestImage(byteCount: 1 << 20)
    let running = try Command(
      "qemu-system-x86_64",
      [
        "-machine", "q35", "-display", "none", "-nodefaults", "-S", "-monitor", "none",
        "-drive", "file=\(image.path),format=raw,if=virtio,readonly=on",
      ]
    ).start()
    // Its own lock against writers.
    try #require(try isLocked(image, 201), "QEMU does not start")
    let line = try refusal(image.path)
    #expect(line.contains("wants nobody else to write to it"), "\(line)")
    _ = try disk(image.path, readOnly: true)
    running.end()
  }

  @Test("of disks keep each other out, and let two readers share")
  func ourselves() throws {
    let image = try TestImage(byteCount: 1 << 20)
    do {
      let writer = try disk(image.path)
      #expect(try refusal(image.path).contains("which may write to it"))
      #expect(try refusal(image.path, readOnly: true).contains("which may write to it"))
      withExtendedLifetime(writer) {}
    }
    let reader = try disk(image.path, readOnly: true)
    let other = try disk(image.path, readOnly: true)
    #expect(try refusal(image.path).contains("wants nobody else to write"))
    withExtendedLifetime((reader, other)) {}
  }

  @Test("are held as long as the disk is, by other names too")
  func names() throws {
    let image = try TestImage(byteCount: 1 << 20)
    let device = try disk(image.path)
    let bed = try BlockBed(device)
    // A queue's stop closes descriptors of the image; the lock stays.
    bed.stop()
    let other = image.directory.file("other.img")
    #expect(try Command("ln", [image.path, other]).run().code == 0)
    #expect(try refusal(other).contains(other))
  }
}
