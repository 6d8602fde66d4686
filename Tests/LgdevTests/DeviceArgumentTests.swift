// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Testing

@testable import lgdev

/// What is wrong with a device string; nil where nothing is.
private func complaint(_ make: () throws -> Void) -> String? {
  do {
    try make()
    return nil
  } catch {
    return String(describing: error)
  }
}

@Suite(.timeLimit(.minutes(20))) struct DeviceArgumentTests {
  @Test func `a disk has defaults for all but its path`() throws {
    let disk = try BlockArgument("path=disk.img")
    #expect(disk == BlockArgument(path: "disk.img"))
    #expect(!disk.isReadOnly)
    #expect(disk.engine == .auto)
    #expect(disk.cache == .writeback)
    #expect(disk.queues == nil)
    #expect(disk.queueSize == nil)
    #expect(disk.format == nil)
    #expect(disk.blockSize == 512)
  }

  @Test func `a disk takes all its keys`() throws {
    let disk = try BlockArgument(
      "path=a,serial=D 1,ro,engine=threads,cache=none,queues=4,queuesize=64,blocksize=4096,"
        + "format=raw,id=root")
    #expect(disk.path == "a")
    #expect(disk.serial == "D 1")
    #expect(disk.isReadOnly)
    #expect(disk.engine == .threads)
    #expect(disk.cache == .none)
    #expect(disk.queues == 4)
    #expect(disk.queueSize == 64)
    #expect(disk.format == .raw)
    #expect(disk.blockSize == 4096)
    #expect(disk.id == "root")
  }

  @Test(arguments: [
    ("", "column 1: the image is missing; write path=disk.img"),
    ("ro", "column 1: the image is missing; write path=disk.img"),
    ("path=a,serial=123456789012345678901", "column 15: '123456789012345678901' is not 1 to 20"),
    ("path=a,serial=é", "column 15: 'é' is not 1 to 20"),
    ("path=a,format=qcow2", "column 15: 'qcow2' is not one of raw"),
    ("path=a,queuesize=100", "column 18: '100' is not a power of two from 4 to 1024"),
    (
      "path=a,cache=safe",
      "'safe' is not one of writeback, writethrough, none, directsync, unsafe"
    ),
    ("path=a,queues=0", "column 15: '0' is not a number from 1 to"),
    ("path=a,blocksize=1024", "column 18: '1024' is not 512 or 4096"),
    ("path=a,id=x/y", "column 11: 'x/y' is not a name"),
    ("path=a,id=..", "column 11: '..' is not a name"),
    ("pth=x", "column 1: unknown key 'pth'; did you mean 'path'?"),
  ])
  func `a wrong disk is refused`(text: String, message: String) throws {
    let found = try #require(complaint { _ = try BlockArgument(text) })
    #expect(found.contains(message))
  }

  @Test func `a network card is on a tap by name or by descriptor`() throws {
    let named = try NetArgument(
      "tap=tap0,mac=52:54:00:12:34:5F,mtu=9000,bridge=br0,address=10.0.0.1/24")
    #expect(named.tap == .create("tap0"))
    #expect(named.mac == MACAddress([0x52, 0x54, 0, 0x12, 0x34, 0x5f]))
    #expect(named.mtu == 9000)
    #expect(named.bridge == "br0")
    #expect(named.address == IPv4Prefix("10.0.0.1/24"))
    #expect(try NetArgument("fd=5").tap == .fd(5))
  }

  @Test(arguments: [
    ("", "column 1: the tap is missing; write tap=tap0 or fd=N"),
    ("mtu=1500,tab=t", "column 10: unknown key 'tab'; did you mean 'tap'?"),
    ("tap=tap0,fd=3", "column 13: 'fd' and 'tap' exclude each other"),
    ("fd=0", "column 4: '0' is not a number from 3"),
    ("tap=a-name-too-long-for-linux", "column 5: 'a-name-too-long-for-linux' is not an interface"),
    ("tap=a/b", "column 5: 'a/b' is not an interface"),
    ("tap=t,mac=01:00:5e:00:00:01", "column 11: '01:00:5e:00:00:01' is not a unicast MAC"),
    ("tap=t,mac=52:54:00:12:34", "is not a unicast MAC"),
    ("tap=t,mac=52:54:00:12:34:+5", "is not a unicast MAC"),
    ("tap=t,mtu=67", "column 11: '67' is not a number from 68 to 65521"),
    ("tap=t,address=10.0.0.1", "column 15: '10.0.0.1' is not an address such as"),
    ("tap=t,address=10.0.0.256/24", "is not an address such as"),
    ("tap=t,address=10.0.0.1/33", "is not an address such as"),
    ("tap=t,address=10.0..1/24", "is not an address such as"),
    ("tap=t,address=10.0.0.+1/24", "is not an address such as"),
  ])
  func `a wrong network card is refused`(text: String, message: String) throws {
    let found = try #require(complaint { _ = try NetArgument(text) })
    #expect(found.contains(message))
  }

  @Test func `a console has one of four ends`() throws {
    #expect(try ConsoleArgument("stdio").end == .stdio())
    #expect(try ConsoleArgument("pty").end == .pty(link: nil))
    #expect(try ConsoleArgument("pty:/tmp/c").end == .pty(link: "/tmp/c"))
    #expect(try ConsoleArgument("socket:/tmp/s").end == .socket(path: "/tmp/s"))
    let file = try ConsoleArgument("file:/tmp/l,,1,size=80x25,overflow=drop,id=log")
    #expect(file.end == .file(path: "/tmp/l,1"))
    #expect(file.size == TerminalSize(columns: 80, rows: 25))
    #expect(file.overflow == .drop)
    #expect(file.id == "log")
  }

  @Test(arguments: [
    ("", "column 1: expected stdio, pty[:LINK], socket:PATH or file:PATH"),
    ("tty", "column 1: expected stdio"),
    ("stdio:x", "column 1: expected stdio"),
    ("pty:", "column 1: expected stdio"),
    ("socket", "column 1: expected stdio"),
    ("file:", "column 1: expected stdio"),
    ("stdio,size=80", "column 12: '80' is not a size such as 80x25"),
    ("stdio,size=0x25", "is not a size such as 80x25"),
    ("stdio,overflow=lose", "column 16: 'lose' is not one of block, drop"),
  ])
  func `a wrong console is refused`(text: String, message: String) throws {
    let found = try #require(complaint { _ = try ConsoleArgument(text) })
    #expect(found.contains(message))
  }

  @Test func `a source of randomness needs nothing`() throws {
    #expect(try RngArgument("on").source == nil)
    #expect(try RngArgument("source=/dev/hwrng,id=r").source == "/dev/hwrng")
    #expect(complaint { _ = try RngArgument("file=/dev/hwrng") }?.contains("unknown key") == true)
  }
}
