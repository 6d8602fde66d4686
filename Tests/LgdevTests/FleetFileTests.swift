// SPDX-License-Identifier: Apache-2.0
//
// Files of several guests: what they mean, and where what is wrong in them stands.

import ArgumentParser
import Backends
import Foundation
import HostTesting
import LguestTransport
import Logging
import Testing

@testable import lgdev

@Suite(.timeLimit(.minutes(20))) struct FleetFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func write(_ text: String) throws -> String {
    try write(Array(text.utf8))
  }

  private func write(_ bytes: [UInt8]) throws -> String {
    let path = "\(directory.path)/fleet.yaml"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func plan(_ text: String) throws -> FleetPlan { try FleetFile.plan(write(text)) }

  /// What is said of a text, without the file's name.
  private func errors(_ bytes: [UInt8]) throws -> [String] {
    let path = try write(bytes)
    do {
      _ = try FleetFile.plan(path)
      return []
    } catch let error as FleetFileError {
      return error.lines.map { String($0.dropFirst(path.count + 1)) }
    }
  }

  private func errors(_ text: String) throws -> [String] { try errors(Array(text.utf8)) }

  @Test func `guests have the options of the command line, and paths begin at the file's folder`()
    throws
  {
    let plan = try plan(
      """
      log-level: debug
      pidfile: fleet.pid
      guests:
        web:
          kernel: /boot/vmlinux
          memory: 64M,memfd=web
          append: "root=/dev/vda ro"
          block: {path: web.img, ro: true, serial: "a,b"}
          net: tap=tap0,bridge=br0
          console: stdio,size=80x25
          rng:
        db:
          kernel: vmlinux
          initrd: rd
          block:
            - path=db.img
            - path: log.img
          console: ["pty:tty", "socket:line", "file:/log"]
          rng: source=random
      """)
    let folder = directory.path
    #expect(plan.isLabelled)
    #expect(plan.logLevel == .debug)
    #expect(plan.pidfile == "\(folder)/fleet.pid")
    #expect(plan.guests.map(\.name) == ["web", "db"])

    let web = plan.guests[0]
    #expect(web.guest.kernel == "/boot/vmlinux")
    #expect(web.guest.memory == 64 << 20)
    #expect(web.guest.memoryName == "web")
    #expect(web.guest.initrd == nil)
    #expect(web.guest.commandLine == "root=/dev/vda ro")
    let devices = [
      DeviceArgument.block(try BlockArgument("path=\(folder)/web.img,ro,serial=a,,b")),
      .net(try NetArgument("tap=tap0,bridge=br0")),
      .console(try ConsoleArgument("stdio,size=80x25")), .rng(try RngArgument("on")),
    ]
    #expect(web.devices.map(\.device) == devices)
    #expect(web.devices.map(\.name) == ["block0", "net0", "console0", "rng0"])

    let db = plan.guests[1]
    #expect(db.guest.kernel == "\(folder)/vmlinux")
    #expect(db.guest.initrd == "\(folder)/rd")
    #expect(db.guest.memory == 256 << 20)
    let others = [
      DeviceArgument.block(BlockArgument(path: "\(folder)/db.img")),
      .block(BlockArgument(path: "\(folder)/log.img")),
      .console(try ConsoleArgument("pty:\(folder)/tty")),
      .console(try ConsoleArgument("socket:\(folder)/line")),
      .console(try ConsoleArgument("file:/log")),
      .rng(try RngArgument("source=\(folder)/random")),
    ]
    #expect(db.devices.map(\.device) == others)
  }

  @Test func `the example is right, and has a guest of each kind`() throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Examples/fleet.yaml").standardizedFileURL.path
    let plan = try FleetFile.plan(path)
    #expect(plan.guests.map(\.name) == ["web", "db"])
    #expect(
      plan.guests.map { $0.devices.map(\.name) } == [
        ["block0", "block1", "net0", "console0", "rng0"],
        ["block0", "net0", "console0", "console1", "rng0"],
      ])
    #expect(plan.guests[1].guest.memoryName == "db")
  }

  @Test func `a guest without a console has a pseudo-terminal, unless it is to have none`() throws {
    let plan = try plan(
      "guests: {a: {kernel: k}, b: {kernel: k, console: none}, c: {kernel: k, rng: off}}")
    let pty = DeviceArgument.console(try ConsoleArgument("pty"))
    #expect(plan.guests.map { $0.devices.map(\.device) } == [[pty], [], [pty]])
  }

  @Test func `everything that is wrong is told at once, each with its line and column`() throws {
    let expected = [
      "1:1: unknown key 'loglevel'; did you mean 'log-level'?",
      "2:10: pidfile: needs one value",
      "4:3: web has no kernel; write kernel: bzImage or kernel: vmlinux",
      "5:5: unknown key 'kernl'; did you mean 'kernel'?",
      "6:13: memory: this is not a size such as 256M or 1G",
      "7:25: block: unknown key 'seral'; did you mean 'serial'?",
      "8:22: net: unknown key 'macc'; did you mean 'mac'?",
      "9:26: console: '3y' is not a size such as 80x25",
      "10:19: rng: 'source' needs one value",
      "11:3: 'web' stands in line 4 already",
      "13:3: 'a b' is not a name of up to 32 letters, digits, '-', '_' and '.'",
      "17:5: 'kernel' stands in line 16 already",
      "19:22: console: write it as after --console, such as pty:LINK,size=80x25",
      "20:29: block: write it as after --block, such as path=disk.img",
    ]
    let found = try errors(
      """
      loglevel: info
      pidfile: [a]
      guests:
        web:
          kernl: vmlinux
          memory: 64Q
          block: path=web.img,seral=1
          net: {tap: tap0, macc: x}
          console: "stdio,size=3y"
          rng: {source: {a: b}}
        web:
          kernel: x
        "a b":
          kernel: y
        db:
          kernel: vmlinux
          kernel: other
          net: tap=tap1
          console: [stdio, {pty: x}]
          block: [path=a, path=b, [x]]
      """)
    #expect(found == expected)
  }

  @Test func `what a guest cannot be on any host is told at once`() throws {
    let long = String(repeating: "s", count: 108)
    let found = try errors(
      """
      guests:
        web:
          kernel: vmlinux
          memory: 5G
          append: \(String(repeating: "x", count: 2048))
          export: show
          console: [stdio, stdio, "socket:/\(long)"]
          rng: [\(Array(repeating: "on", count: 26).joined(separator: ", "))]
        db:
          kernel: vmlinux
          memory: 3M
          append: \(String(repeating: "x", count: 2047))
          export: show
          block: [{path: a, queues: 2}, {path: b, id: block0}]
      """)
    let part = "a guest has 31, one for each queue; leave out a device"
    let expected = [
      "2:3: web: console2: the socket's path '/\(long)' has 109 bytes; Linux wants 1 to 107",
      "2:3: web: --console stdio is given twice, and there is one terminal; use pty",
      "2:3: web: rng25: no interrupt is left; \(part)",
      "4:13: web: 5120M of memory is more than a 32-bit guest can have with its devices; "
        + "give --memory 4095M or less",
      "5:13: web: --append has 2048 bytes; the kernel takes 2047",
      "6:13: web: --export is about disks, and there is none; give --block",
      "7:22: the terminal (stdio) is web's already",
      "9:3: db: two devices are called 'block0'; give one of them another id=",
      "9:3: db: block0: queues=2: an lguest guest knows one queue only",
      "11:13: db: 3M of memory is too little for this kernel; give --memory 4M or more",
      "13:13: mount point \(directory.path)/show is web's already",
    ]
    #expect(Set(found) == Set(expected))
    #expect(found.count == expected.count)
  }

  @Test(arguments: [
    ("console: stdio", "the terminal (stdio) is a's already"),
    ("net: tap=tap0", "tap tap0 is a's already"),
    ("block: path=/d", "image /d is a's already"),
    ("console: 'pty:/l'", "link /l is a's already"),
    ("console: 'socket:/l'", "socket /l is a's already"),
  ])
  func `what only one guest can have is refused to the second`(
    device: String, message: String
  ) throws {
    let found = try errors("guests:\n  a: {kernel: k, \(device)}\n  b: {kernel: k, \(device)}\n")
    #expect(found.count == 1)
    #expect(found.first?.hasSuffix(message) == true, "\(found)")
    #expect(found.first?.hasPrefix("3:") == true, "\(found)")
  }

  @Test func `a disk that nobody writes can be in several guests`() throws {
    let found = try errors(
      "guests: {a: {kernel: k, block: 'path=d,ro'}, b: {kernel: k, block: 'path=d,ro'}}")
    #expect(found == [])
  }

  @Test(arguments: [
    ("", "1:1: the file is empty; write guests: and what they are"),
    ("# only\n", "1:1: the file is empty; write guests: and what they are"),
    ("pidfile: x", "1:1: there is no guest; write guests: and below it a name for each"),
    ("guests: []", "1:9: guests: has a name for each guest, and below it what it is"),
    ("guests: {}", "1:9: guests: has a name for each guest, and below it what it is"),
    ("guests: {a: k}", "1:13: a is a list of settings, key: value"),
    ("just words", "1:1: a fleet is a list of settings, key: value"),
    ("a: b\n---\nc: d\n", "2:1: a second document begins here"),
    ("guests: &a [*a]", "1:9: anchors, aliases and tags are not read here; write it out"),
    ("guests: {a: *b}", "1:13: anchors, aliases and tags are not read here; write it out"),
    ("guests: !!python/object x", "1:9: anchors, aliases and tags are not read here; write it out"),
    ("guests:\n  a:\n\tkernel: c\n", "3:1: found character that cannot start any token"),
    ("a: \"x\0y\"", "1:6: control characters are not allowed"),
    ("a: [1, 2\nb: c\n", "2:2: did not find expected ',' or ']'"),
    ("? [a]\n: b", "1:3: a key is one word"),
    ("log-level: loud\nguests: {a: {kernel: k}}", "1:12: log-level: loud is not one of"),
    ("guests: {a: {kernel: \"a\\0b\"}}", "1:22: kernel: holds a zero byte"),
    ("guests: {a: {kernel: k, block: \"path=a\\0b\"}}", "1:32: block: holds a zero byte"),
    ("guests: {a: {kernel: k, block: \"path=a,queues=2\"}}", "1:10: a: block0: queues=2: an"),
  ])
  func `a file that makes no sense is one line`(text: String, message: String) throws {
    let found = try errors(text)
    #expect(found.contains { $0.hasPrefix(message) }, "\(found)")
  }

  @Test func `what is no UTF-8 is told at its place`() throws {
    #expect(try errors(Array("a: é\n b".utf8) + [0xff]) == ["2:3: this is not UTF-8"])
    #expect(try errors([0xff, 0xfe, 0x61, 0]) == ["1:1: this is not UTF-8"])
  }

  @Test(arguments: ["[", "{a: ", "- ", "? "])
  func `a text of nothing but beginnings ends early`(part: String) throws {
    let found = try errors(String(repeating: part, count: 200_000))
    #expect(found.count == 1)
    #expect(found.first?.hasSuffix("this is nested too deeply") == true, "\(found)")
  }

  @Test func `of many errors the first fifty are told`() throws {
    let found = try errors((0..<1000).map { "k\($0): v" }.joined(separator: "\n"))
    #expect(found.count == 51)
    #expect(found.last == " and 951 more")
  }

  @Test func `what is no file of settings is not read`() throws {
    try directory.makeFile("huge", size: (1 << 20) + 1)
    let made = unsafe mkfifo("\(directory.path)/fifo", 0o600)
    #expect(made == 0)
    for (name, message) in [
      ("huge", "it has more than 1 MiB"), ("fifo", "it is no regular file; name one"),
      (".", "it is a directory; name a file in it"), ("none", "there is no such file; see"),
    ] {
      let run = try Program.run(["config", "check", name], in: directory)
      #expect(run.code == 1)
      #expect(run.errors.count == 1)
      #expect(run.errors.first?.hasPrefix("lgdev: \(name): \(message)") == true)
    }
  }

  @Test func `the checker says what a file has, or where it is wrong`() throws {
    _ = try write("guests: {a: {kernel: k}, b: {kernel: k}}")
    let good = try Program.run(["config", "check", "fleet.yaml"], in: directory)
    #expect(good == (0, "fleet.yaml: 2 guests: a, b\n", []))
    _ = try write("guests: {a: {kernel: k}, b: {kernl: k}}")
    let expected = [
      "fleet.yaml:1:26: b has no kernel; write kernel: bzImage or kernel: vmlinux",
      "fleet.yaml:1:30: unknown key 'kernl'; did you mean 'kernel'?",
    ]
    for arguments in [["config", "check"], ["serve", "--config"]] {
      let bad = try Program.run(arguments + ["fleet.yaml"], in: directory)
      #expect(bad == (2, "", expected))
    }
  }

  @Test(arguments: [
    (["--kernel", "k"], "--kernel is for one guest; with --config write it into fleet.yaml"),
    (["--block", "path=x"], "--block is for one guest"), (["--rng"], "--rng is for one guest"),
    (["--read-only"], "--read-only is for one guest"),
    (["--socket-dir", "d"], "--socket-dir is for vhost-user"),
    (["--transport", "vhost-user"], "--config is for lguest guests; leave out --transport"),
    (["--log-level", "loud"], "--log-level loud is not one of"),
  ])
  func `options that stand in the file are refused beside it`(
    options: [String], message: String
  ) throws {
    let run = try Program.run(["serve", "--config", "fleet.yaml"] + options, in: directory)
    #expect(run.code == 2)
    #expect(run.errors.count == 1)
    #expect(run.errors.first?.contains(message) == true, "\(run.errors)")
  }

  @Test func `pid file and log level of the command line go before those of the file`() throws {
    let path = try write("log-level: debug\npidfile: a\nguests: {a: {kernel: k}}")
    func plan(_ options: String...) throws -> FleetPlan {
      try FleetPlan(config: path, Serve.parse(["--config", path] + options))
    }
    let file = try plan()
    #expect(file.logLevel == .debug)
    #expect(file.pidfile == "\(directory.path)/a")
    let both = try plan("--log-level", "error", "--pidfile", "b", "--transport", "lguest")
    #expect(both.logLevel == .error)
    #expect(both.pidfile == "b")
  }
}
