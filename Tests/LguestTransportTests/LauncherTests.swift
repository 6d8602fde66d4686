// SPDX-License-Identifier: Apache-2.0

import Backends
import Foundation
import HostTesting
import LguestTesting
import Linux
import Logging
import Synchronization
import Testing
import VirtioTesting

@testable import LguestTransport

/// Kernel and initrd in files, and guests of them on hosts that the test plays.
private final class LauncherBed {
  let folder: String
  var options: GuestOptions
  let echo = EchoDevice()
  /// The hosts that are opened, one after the other.
  private let hosts: Hosts

  final class Hosts: Sendable {
    private let left: Mutex<[FakeHost]>
    init(_ hosts: [FakeHost]) { left = Mutex(hosts) }
    func next() throws(LguestError) -> any GuestPort {
      let host = left.withLock { $0.isEmpty ? nil : $0.removeFirst() }
      guard let host else { throw .noModule }
      return host
    }
  }

  init(_ hosts: [FakeHost]) throws {
    self.hosts = Hosts(hosts)
    folder = "/tmp/lgdev-launcher-\(UInt32.random(in: 0...UInt32.max))"
    options = GuestOptions(kernel: "\(folder).kernel", memory: 32 << 20)
    try write(ELF().bytes, to: options.kernel)
  }

  func write(_ bytes: [UInt8], to path: String) throws {
    let file = try FileDescriptor.open(path, [.writeOnly, .create, .truncate])
    try file.writeAll(bytes)
  }

  deinit {
    for file in ["kernel", "initrd"] { try? FileSystem.remove("\(folder).\(file)") }
  }

  func start() throws -> RunningGuest {
    let hosts = hosts
    return try RunningGuest.start(
      options, devices: [echo], name: "guest",
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { () throws(LguestError) in try hosts.next() }
  }
}

@Suite(.timeLimit(.minutes(20))) struct LauncherTests {
  let host: FakeHost

  init() throws { host = try FakeHost() }

  /// How a guest ends. - Parameter host: a new one where another guest had the suite's.
  private func end(_ answers: FakeHost.Answer..., on host: FakeHost? = nil) throws -> GuestEnd {
    let host = host ?? self.host
    for answer in answers { host.play(answer) }
    let bed = try LauncherBed([host])
    let end = try bed.start().join()
    return withExtendedLifetime(bed) { end }
  }

  @Test func `a guest that switches itself off ends well`() throws {
    #expect(try end(Host.error(.notFound), Host.text("CRASH: Power down")) == .poweredOff)
  }

  @Test func `a guest that dies ends with its reason`() throws {
    #expect(
      try end(Host.error(.notFound), Host.text("unhandled trap 13")) == .died("unhandled trap 13"))
  }

  @Test
  func `a guest that dies before it has called lguest may have the wrong kernel, and is told so`()
    throws
  {
    host.setHypercalls(0)
    let mute = try end(Host.error(.notFound), Host.text("unhandled trap 13"))
    #expect(mute.description.hasPrefix("unhandled trap 13; it never called lguest"))
    #expect(mute.description.hasSuffix("CONFIG_LGUEST_GUEST=y"))
    for count: UInt64? in [1, nil] {
      let host = try FakeHost()
      host.setHypercalls(count)
      #expect(
        try end(Host.error(.notFound), Host.text("boom"), on: host) == .died("boom"))
    }
  }

  @Test func `a guest that the host has no memory for says what to do, dead or refused`() throws {
    let starved = try end(Host.error(.notFound), Host.text("failed to get page 77"))
    #expect(starved.description.hasPrefix("failed to get page 77, which the host does not give"))
    #expect(starved.description.hasSuffix("raise the limit of locked memory (ulimit -l)"))
    for errno in [Errno.noMemory, .badAddress] {
      #expect(LguestError.refused(errno).description.hasSuffix("locked memory (ulimit -l)"))
    }
  }

  @Test func `a host that does not run the guest ends it`() throws {
    #expect(try end(Host.error(.permission)) == .failed(.permission))
    #expect(
      try end(Host.bytes([1, 2, 3, 4]), on: FakeHost())
        == .notStarted(.wrongInterface("a notify has 4 bytes, not 8")))
  }

  @Test func `signals that nobody meant are passed over`() throws {
    #expect(
      try end(
        Host.error(.interrupted), Host.error(.interrupted), Host.error(.notFound),
        Host.text("CRASH: Power down")) == .poweredOff)
  }

  @Test func `what the module refuses is the end, and no device was touched`() throws {
    host.fail(0, .busy)
    let bed = try LauncherBed([host])
    #expect(try bed.start().join() == .notStarted(.refused(.busy)))
    #expect(bed.echo.starts == 0)
  }

  @Test func `the guest starts with kernel, initrd, command line and devices in their places`()
    throws
  {
    let bed = try LauncherBed([host])
    bed.options.initrd = "\(bed.folder).initrd"
    bed.options.commandLine = "root=/dev/vda"
    try bed.write([UInt8](repeating: 0x5a, count: 5000), to: "\(bed.folder).initrd")
    let seen = Mutex<[[UInt8]]>([])
    host.play { host in
      guard let words = host.requests.first,
        let memory = try? GuestView(base: words[1], pages: words[2])
      else { return .failure(.io) }
      seen.withLock {
        $0 = [
          memory.bytes(0x100_0000, 10), memory.bytes(0x1000, 14), memory.bytes(0x218, 8),
          memory.bytes(0x1ff_e000, 1), memory.bytes(0x1ff_e000 + 4999, 2),
          memory.bytes(0x200_0000, 4),
        ]
      }
      return .failure(.notFound)
    }
    host.play(Host.text("CRASH: Power down"))
    #expect(try bed.start().join() == .poweredOff)
    let pages: UInt64 = 0x2000 + 1 + 6
    #expect(host.requests.first?[2...] == [pages, 0x100_0000])
    seen.withLock { seen in
      #expect(seen.count == 6)
      #expect(seen[0] == Array("..lguest..".utf8))
      #expect(seen[1] == Array("root=/dev/vda\0".utf8))
      #expect(seen[2] == [0, 0xe0, 0xff, 0x01, 0, 0x20, 0, 0])
      #expect(seen[3] == [0x5a])
      #expect(seen[4] == [0x5a, 0])
      #expect(seen[5] == [42, 2, 4, 4])
    }
  }

  @Test func `a device that runs when the guest dies is stopped and reset`() throws {
    let bed = try LauncherBed([host])
    host.play(startEcho, Host.error(.notFound), Host.text("CRASH: x"))
    #expect(try bed.start().join() == .died("CRASH: x"))
    #expect(bed.echo.starts == 2)
    #expect(bed.echo.resets == 1)
  }

  @Test func `a restart is a new guest in the same process, with its devices as new`() throws {
    let second = try FakeHost()
    let bed = try LauncherBed([host, second])
    host.play(startEcho, Host.error(Errno(rawValue: 85)))
    second.play(startEcho, Host.error(.notFound), Host.text("CRASH: Power down"))
    #expect(try bed.start().join() == .poweredOff)
    #expect(bed.echo.starts == 4)
    #expect(bed.echo.resets == 2)
    #expect(second.requests.first?[0] == 0)
  }

  @Test func `a restart whose kernel has gone ends with the reason`() throws {
    let bed = try LauncherBed([host])
    let kernel = bed.options.kernel
    host.play { _ in
      try? FileSystem.remove(kernel)
      return .failure(Errno(rawValue: 85))
    }
    #expect(try bed.start().join() == .notStarted(.unreadable(path: kernel, .notFound)))
  }

  @Test func `a guest in its sleep is stopped at once`() throws {
    for _ in 0..<20 {
      let host = try FakeHost()
      host.play(startEcho, Host.sleep)
      let bed = try LauncherBed([host])
      let guest = try bed.start()
      let start = ContinuousClock.now
      #expect(guest.stop() == .stopped)
      #expect(ContinuousClock.now - start < soon)
    }
  }

  @Test func `what is wrong with the files is found before there is a thread`() throws {
    let bed = try LauncherBed([host])
    bed.options.memory = 8 << 20
    #expect(throws: LguestError.self) { _ = try bed.start().join() }
    bed.options.memory = 32 << 20
    bed.options.initrd = "/no/such"
    #expect(throws: LguestError.unreadable(path: "/no/such", .notFound)) {
      _ = try bed.start().join()
    }
    #expect(host.requests == [])
  }

  @Test func `named memory is an open memory file of that name, and its bytes are the guest's`()
    throws
  {
    let bed = try LauncherBed([host])
    let name = "guest-\(UInt32.random(in: 0...UInt32.max))"
    bed.options.memoryName = name
    let found = Mutex<[[UInt8]]>([])
    host.play { host in
      guard let words = host.requests.first,
        let memory = try? GuestView(base: words[1], pages: words[2]),
        let file = try? memoryFile(name)
      else { return .failure(.io) }
      memory.memory.store(UInt32(0x1234_5678), at: 0x30_0000)
      var kernel = [UInt8](repeating: 0, count: 10)
      var word = [UInt8](repeating: 0, count: 4)
      _ = try? file.read(into: &kernel, at: 0x100_0000)
      _ = try? file.read(into: &word, at: 0x30_0000)
      found.withLock { $0 = [kernel, word] }
      return .failure(.notFound)
    }
    host.play(Host.text("CRASH: Power down"))
    #expect(try bed.start().join() == .poweredOff)
    #expect(
      found.withLock { $0 } == [Array("..lguest..".utf8), [0x78, 0x56, 0x34, 0x12]])
    #expect(throws: Errno.notFound) { _ = try memoryFile(name) }
  }
}

/// Opens the memory file of that name that this process has open, as another process would.
private func memoryFile(_ name: String) throws -> FileDescriptor {
  for number in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
    let path = "/proc/self/fd/\(number)"
    // A descriptor may go while others are looked at.
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
    if target?.hasPrefix("/memfd:\(name) ") == true { return try FileDescriptor.open(path) }
  }
  throw Errno.notFound
}

/// DRIVER_OK of the first device, as a guest of 32 MiB writes it.
private let startEcho: FakeHost.Answer = { host in
  guard let words = host.requests.first,
    let memory = try? GuestView(base: words[1], pages: words[2])
  else { return .failure(.io) }
  memory.memory.store(UInt8(7), at: 0x200_0004)
  return Host.notified(0x200_0000)(host)
}
