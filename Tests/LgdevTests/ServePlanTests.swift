// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Logging
import Testing

@testable import lgdev

/// The plan that a command line after `lgdev serve` makes.
private func plan(_ arguments: String...) throws -> ServePlan {
  try ServePlan(Serve.parse(Invocation(["lgdev"] + arguments).arguments))
}

@Suite(.timeLimit(.minutes(20))) struct ServePlanTests {
  @Test func `devices are named in order and have a socket each`() throws {
    let plan = try plan(
      "--socket-dir", "/d", "--block", "path=a", "--block", "path=b,id=data", "--block", "path=c",
      "--net", "tap=t", "--console", "pty", "--rng", "--rng=source=/dev/hwrng")
    #expect(
      plan.entries.map(\.name) == ["block0", "data", "block2", "net0", "console0", "rng0", "rng1"])
    #expect(plan.entries[1].endpoint == .listen(path: "/d/data.sock"))
    #expect(plan.entries[3].endpoint == .listen(path: "/d/net0.sock"))
  }

  @Test func `one device can have its socket by path, by number or connect`() throws {
    #expect(
      try plan("--socket-path", "/s", "--rng").entries[0].endpoint == .listen(path: "/s"))
    #expect(
      try plan("--fd", "7", "--rng").entries[0].endpoint == .inherited(descriptor: 7))
    #expect(
      try plan("--connect", "/s", "--rng").entries[0].endpoint == .connect(path: "/s"))
  }

  @Test func `QEMU's block options make a disk`() throws {
    let plan = try plan("--socket-path", "/s", "--blk-file", "a,b", "--read-only")
    var disk = BlockArgument(path: "a,b")
    disk.isReadOnly = true
    #expect(
      plan.entries == [.init(name: "block0", device: .block(disk), endpoint: .listen(path: "/s"))])
  }

  @Test func `options have defaults`() throws {
    let plan = try plan("--socket-dir", "/d", "--rng")
    #expect(plan.socketMode == 0o600)
    #expect(plan.logLevel == .info)
    #expect(plan.socketGroup == nil)
    #expect(plan.pidfile == nil)
    #expect(!plan.isOnce)
    #expect(!plan.offersInBandNotifications)
  }

  @Test func `options are taken over`() throws {
    let plan = try plan(
      "--socket-dir", "/d", "--rng", "--socket-mode", "0660", "--socket-group", "kvm",
      "--log-level", "debug", "--pidfile", "/p", "--once", "--transport", "vhost-user",
      "--in-band-notifications")
    #expect(plan.socketMode == 0o660)
    #expect(plan.socketGroup == "kvm")
    #expect(plan.logLevel == .debug)
    #expect(plan.pidfile == "/p")
    #expect(plan.isOnce)
    #expect(plan.offersInBandNotifications)
  }

  @Test(arguments: [
    (["--socket-dir", "/d"], "there is no device to serve"),
    (["--rng"], "no place for sockets; give --socket-dir"),
    (["--rng", "--socket-dir", "/d", "--fd", "3"], "--socket-dir and --fd exclude each other"),
    (["--rng", "--rng", "--socket-path", "/s"], "--socket-path is for one device, not 2"),
    (["--rng", "--fd", "2"], "--fd 2 is not the number of an inherited socket"),
    (["--rng", "--fd", "x"], "--fd x is not the number of an inherited socket"),
    (["--rng", "--socket-path", String(repeating: "x", count: 108)], "has 108 bytes"),
    (["--rng", "--socket-dir", String(repeating: "x", count: 98)], "has 108 bytes"),
    (["--rng", "--socket-dir", "/d", "--socket-mode", "rw"], "--socket-mode rw is not an octal"),
    (
      ["--rng", "--socket-dir", "/d", "--socket-mode", "1777"], "--socket-mode 1777 is not an octal"
    ),
    (
      ["--rng", "--socket-dir", "/d", "--log-level", "loud"], "--log-level loud is not one of trace"
    ),
    (["--rng", "--socket-dir", "/d", "--read-only"], "--read-only is about disks"),
    (["--rng=id=a", "--rng=id=a", "--socket-dir", "/d"], "two devices are called 'a'"),
    (
      ["--rng", "--block", "path=x,id=rng0", "--socket-dir", "/d"], "two devices are called 'rng0'"
    ),
    (
      ["--console", "stdio", "--console", "stdio", "--socket-dir", "/d"],
      "--console stdio is given twice"
    ),
    (["--block", "path=x,y", "--socket-dir", "/d"], "column 8: unknown key 'y'"),
  ])
  func `a command line that makes no sense is refused`(
    arguments: [String], message: String
  ) throws {
    let options = try Serve.parse(Invocation(["lgdev"] + arguments).arguments)
    let error = #expect(throws: UsageError.self) { try ServePlan(options) }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }
}
