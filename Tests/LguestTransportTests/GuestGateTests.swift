// SPDX-License-Identifier: Apache-2.0
//
// Every row of what the host module answers, and every error.

import Backends
import LguestTesting
import Linux
import Testing

@testable import LguestTransport

private let restart = Errno(rawValue: 85)

@Suite(.timeLimit(.minutes(20))) struct GuestGateTests {
  let host: FakeHost
  let gate: GuestGate
  let memory: RunMemory

  init() throws {
    host = try FakeHost()
    gate = GuestGate(host)
    memory = try RunMemory(byteCount: 16 * 4096, name: nil)
  }

  /// Makes the guest, on the thread that is to run it.
  private func initialize() throws {
    try gate.initialize(base: memory.base, pageLimit: 16, entry: 0x10_0000)
  }

  @Test func `a guest is described by base, page limit and entry`() throws {
    try initialize()
    #expect(host.requests == [[0, UInt64(memory.base), 16, 0x10_0000]])
  }

  @Test func `a module of another interface is told by its answer`() throws {
    for result in [0, 12, 16, 32] {
      host.setInitializeResult(result)
      #expect {
        try gate.initialize(base: 1, pageLimit: 1, entry: 1)
      } throws: {
        "\($0)".contains("speaks another interface")
      }
    }
  }

  @Test func `a look at a module tells another interface, and nothing of what it refuses`() throws {
    try RunningGuest.check { () throws(LguestError) in host }
    #expect(host.requests.map(\.count) == [4] && host.requests.map { $0[0] } == [0])
    for errno in [Errno.noMemory, .busy, .invalidArgument] {
      host.reopen()
      host.fail(0, errno)
      try RunningGuest.check { () throws(LguestError) in host }
    }
    host.fail(0, nil)
    for result in [0, 12, 16, 32] {
      host.reopen()
      host.setInitializeResult(result)
      #expect {
        try RunningGuest.check { () throws(LguestError) in host }
      } throws: {
        "\($0)".contains("speaks another interface")
      }
    }
  }

  @Test(arguments: [
    Errno.busy, .badAddress, .noMemory, .invalidArgument, .permission, .notFound, .interrupted,
  ])
  func `what the module refuses is told`(errno: Errno) throws {
    host.fail(0, errno)
    #expect(throws: LguestError.refused(errno)) {
      try gate.initialize(base: 1, pageLimit: 1, entry: 1)
    }
  }

  @Test func `a notify comes with its address`() throws {
    try initialize()
    host.play(Host.notified(0x400_0000))
    #expect(gate.run() == .notified(0x400_0000))
  }

  @Test func `a notify of another size makes no sense`() throws {
    try initialize()
    host.play(Host.bytes([1, 2, 3, 4]), Host.bytes([]))
    #expect(gate.run() == .strange(byteCount: 4))
    #expect(gate.run() == .strange(byteCount: 0))
  }

  @Test func `a signal, a restart, now and again`() throws {
    try initialize()
    host.play(Host.error(.interrupted), Host.error(restart), Host.error(restart))
    #expect(gate.run() == .interrupted)
    #expect(gate.run() == .restart)
    #expect(gate.run() == .restart)
  }

  @Test func `a dead guest says why`() throws {
    try initialize()
    host.play(Host.error(.notFound), Host.text("CRASH: Attempted to kill init!"))
    #expect(gate.run() == .died("CRASH: Attempted to kill init!"))
  }

  @Test func `a reason that hurts a terminal is made harmless`() throws {
    try initialize()
    host.play(Host.error(.notFound), Host.bytes([0x41, 0x1b, 0x5b, 0x0a, 0xff, 0x42, 0, 0x43]))
    #expect(gate.run() == .died("A?[??B"))
    host.play(Host.error(.notFound), Host.bytes([]))
    #expect(gate.run() == .died("it does not say why"))
  }

  @Test func `a death whose reason cannot be read is a death all the same`() throws {
    try initialize()
    host.play(Host.error(.notFound), Host.error(.noMemory))
    #expect(gate.run() == .died("nobody knows why: \(Errno.noMemory)"))
  }

  @Test(arguments: [Errno.invalidArgument, .permission, .badAddress, .io, .noMemory])
  func `any other error ends the run`(errno: Errno) throws {
    try initialize()
    host.play(Host.error(errno))
    #expect(gate.run() == .failed(errno))
  }

  @Test func `an eventfd is attached by address and number, and detached by -1`() throws {
    try initialize()
    let event = try EventFD()
    try gate.attach(event.descriptor, to: 0x400_1000)
    #expect(host.attached == [0x400_1000])
    #expect(host.notify(0x400_1000))
    #expect(event.drain() == 1)
    gate.detach(from: 0x400_1000)
    #expect(host.attached == [])
    // Once more is an error of the module's that does not matter.
    gate.detach(from: 0x400_1000)
    #expect(host.requests.map { $0[0] } == [0, 4, 4, 4])
    #expect(host.requests[2] == [4, 0x400_1000, .max])
  }

  @Test(arguments: [
    Errno.invalidArgument, .badFileDescriptor, .noMemory, .badAddress, .notFound, .noSpace,
    .interrupted,
  ])
  func `an eventfd that cannot be attached is an error`(errno: Errno) throws {
    host.fail(4, errno)
    let event = try EventFD()
    #expect(throws: errno) { try gate.attach(event.descriptor, to: 1) }
  }

  @Test func `an interrupt is two words`() throws {
    try gate.interrupt(31).send()
    #expect(host.calls == [[2, 31]])
  }

  // MARK: The real file, as far as it goes without a module

  @Test func `a machine without the module is told how to get it`() throws {
    #expect(throws: LguestError.noModule) { try DevicePort(path: "/no/such") }
    let text = LguestError.noModule.description
    #expect(text.contains("make -C Kernel/module") && text.contains("make demo'"))
    #expect(text.contains("make demo-lguest"))
  }

  @Test func `a file that cannot be opened says why`() throws {
    #expect(throws: LguestError.notOpened(.isDirectory)) { try DevicePort(path: "/tmp") }
    #expect(LguestError.notOpened(.accessDenied).description.contains("no right to open"))
    #expect(LguestError.notOpened(.permission).description.contains("no right to open"))
  }

  @Test func `a device file without a driver is no module`() throws {
    let path = "/tmp/lgdev-nodriver-\(UInt32.random(in: 0...UInt32.max))"
    // Opening a socket fails as opening a device does that nobody drives.
    let socket = try UnixSocket.listen(path)
    defer { try? FileSystem.remove(path) }
    #expect(throws: LguestError.noModule) { try DevicePort(path: path) }
    withExtendedLifetime(socket) {}
  }

  @Test func `errors come through as they are, and an interrupt that fails harms nobody`() throws {
    // It takes no byte.
    let full = try DevicePort(path: "/dev/full")
    #expect(throws: Errno.noSpace) { try full.request([0, 1, 2, 3]) }
    try full.target(2, 1).send()
    // Nothing is at address 0.
    let empty = try DevicePort(path: "/proc/self/mem")
    #expect(throws: Errno.io) { try empty.read(upTo: 8) }
    #expect(GuestGate(empty).run() == .failed(.io))
  }

  @Test func `words go out in one write, and come in in one read`() throws {
    let path = "/tmp/lgdev-port-\(UInt32.random(in: 0...UInt32.max))"
    let file = try FileDescriptor.open(path, [.readWrite, .create, .exclusive])
    defer { try? FileSystem.remove(path) }
    let port = try DevicePort(path: path)
    #expect(try port.request([4, 0x1234, .max]) == 24)
    try port.target(2, 31).send()
    let bytes = try file.read(upTo: 100)
    #expect(bytes.count == 40)
    #expect(bytes.littleEndian(UInt64.self, at: 8) == 0x1234)
    #expect(bytes.littleEndian(UInt64.self, at: 24) == 2)
    #expect(bytes.littleEndian(UInt64.self, at: 32) == 31)
    _ = try file.write([9, 8], at: 40)
    #expect(try port.read(upTo: 8) == [9, 8])
  }
}
