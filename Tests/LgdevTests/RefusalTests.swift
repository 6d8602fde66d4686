// SPDX-License-Identifier: Apache-2.0
//
// What the program refuses: one line on standard error, the right exit code, and nothing made.

import Glibc
import HostTesting
import Testing

@Suite(.timeLimit(.minutes(20))) struct RefusalTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func expectRefusal(
    _ arguments: [String], code: Int32, _ message: String
  ) throws {
    let before = try directory.names
    let run = try Program.run(arguments, in: directory)
    #expect(run.code == code)
    #expect(run.errors.count == 1, "\(run.errors)")
    #expect(run.errors.first?.hasPrefix("lgdev: ") == true, "\(run.errors)")
    #expect(run.errors.first?.contains(message) == true, "\(run.errors)")
    #expect(run.output == "")
    #expect(try directory.names == before)
  }

  @Test(arguments: [
    (["serve", "--bloc", "path=x"], "Unknown option '--bloc'. Did you mean '--block'?"),
    (["serve", "--rng", "--socket-dir"], "Missing value for '--socket-dir <dir>'"),
    (["serve", "--socket-dir", ".", "--block", "path=x,seral=y"], "column 8: unknown key 'seral'"),
    (
      ["serve", "--socket-dir", ".", "--block", "pth=x"],
      "column 1: unknown key 'pth'; did you mean"
    ),
    (["export", "x", "-o", "alow_other"], "-o alow_other: there is no such option"),
    (["export", "x"], "export needs an image and a mount point, such as 'lgdev export"),
    (["serve", "--socket-dir", ".", "--rng", "--transport", "loop"], "there are vhost-user and"),
    (
      ["serve", "--socket-dir", ".", "--console", "socket:" + String(repeating: "s", count: 108)],
      "has 108 bytes; Linux wants 1 to 107"
    ),
    (["serve", "--socket-dir", ".", "extra", "--rng"], "Unexpected argument 'extra'"),
    (["export", "x", "--mode", "", "y"], "--mode is empty; give it a value, or leave it out"),
    (
      ["export", "--sector-size", "1024", "x", "y"],
      "--sector-size 1024: a sector has 512 or 4096 bytes"
    ),
    (
      ["export", "-o", "sector-size=0", "x", "y"],
      "-o sector-size 0: a sector has 512 or 4096 bytes"
    ),
    (["config", "check", ""], "the file's name is empty; give it a value"),
    (["sing"], "unknown command 'sing'; there is serve, export, config, top, stats, doctor"),
    (["serv", "--rng"], "unknown command 'serv'; did you mean 'serve'?"),
    (["help", "expotr"], "unknown command 'expotr'; did you mean 'export'?"),
    (["config", "chek", "x"], "unknown command 'chek'; did you mean 'check'?"),
    (["config", "check"], "Missing expected argument '<file>' (see 'lgdev help config check')"),
    (["--nonsense"], "Unknown option '--nonsense' (see 'lgdev help')"),
    (
      ["serve", "--socket-dir", ".", "--block", "path=disk.img", "--blk-file", "disk.img"],
      "block1: image disk.img is block0's already; give it another, or make both read-only with ro"
    ),
    (
      ["serve", "--socket-dir", ".", "--net", "tap=t", "--net", "tap=t"],
      "net1: tap t is net0's already; give it another"
    ),
  ])
  func `a wrong command line is one line and exit code 2`(
    arguments: [String], message: String
  ) throws {
    try expectRefusal(arguments, code: 2, message)
  }

  @Test(arguments: [
    "--transport", "--config", "--kernel", "--memory", "--initrd", "--socket-dir", "--socket-path",
    "--connect", "--fd", "--socket-group", "--socket-mode", "--blk-file", "--export", "--pidfile",
    "--log-level",
  ])
  func `an option that was given nothing is one line and exit code 2`(option: String) throws {
    try expectRefusal(
      ["serve", "--rng", option, ""], code: 2,
      "\(option) is empty; give it a value, or leave it out (see 'lgdev help serve')")
  }

  @Test(arguments: [
    (["--socket-dir", "none", "--rng"], "rng0: there is no directory none; make it with mkdir"),
    (["--socket-dir", "small", "--rng"], "rng0: small is no directory"),
    (["--socket-path", "small", "--rng"], "rng0: small is there and is no socket"),
    (["--socket-dir", ".", "--rng", "--block", "path=none"], "block0: cannot serve image none: "),
    (["--socket-dir", ".", "--rng", "--block", "path=."], "image .: it is a directory"),
    (["--socket-dir", ".", "--rng", "--block", "path=small"], "it has 100 bytes, less than"),
    (["--socket-dir", ".", "--console", "file:."], "it is a directory; name a file in it"),
    (["--socket-dir", ".", "--rng=source=none"], "rng0: cannot open the entropy source none"),
    (["--socket-dir", ".", "--rng", "--pidfile", "none/pid"], "--pidfile none/pid: there is no"),
    (["--socket-dir", ".", "--rng", "--socket-group", "no group"], "there is no such group"),
    (["--socket-dir", ".", "--rng", "--pidfile", "small"], "small: a file that is no pid file"),
    (["--socket-dir", ".", "--rng", "--pidfile", "/dev/null"], "null: a file that is no pid file"),
    (["--fd", "9", "--rng"], "--fd 9: it is not open"),
    (["--socket-dir", ".", "--net", "fd=9", "--rng"], "net0: fd=9: it is not open"),
    (
      ["--socket-dir", ".", "--rng", "--console", "file:none/log"],
      "console0: there is no directory none"
    ),
  ])
  func `what the host lacks is one line and exit code 1`(
    arguments: [String], message: String
  ) throws {
    try directory.makeFile("small", size: 100)
    try expectRefusal(["serve"] + arguments, code: 1, message)
  }

  @Test func `an inherited descriptor must be a socket`() throws {
    let program = try Program(["serve", "--fd", "3", "--rng"], in: directory, input: 2)
    #expect(try program.exitCode() == 1)
    #expect(try program.errorLines == ["lgdev: --fd 3: it is open, but no socket"])
  }

  @Test func `what another one holds is refused`() throws {
    try directory.makeFile("disk.img", size: 1 << 20)
    let arguments = [
      "serve", "--socket-path", "s", "--block", "path=disk.img", "--pidfile", "pid",
    ]
    let first = try Program(arguments, in: directory)
    try first.awaitListening()
    try expectRefusal(arguments, code: 1, "block0: another process listens on s; end it")
    try expectRefusal(
      ["serve", "--socket-path", "t", "--block", "path=disk.img"], code: 1,
      "cannot serve image disk.img: it is in use by another process")
    try expectRefusal(
      ["serve", "--socket-path", "t", "--rng", "--pidfile", "pid"], code: 1,
      "--pidfile pid: another running process holds it")
    first.send(SIGTERM)
    #expect(try first.exitCode() == 0)
  }

  @Test func `one image cannot be two disks`() throws {
    try directory.makeFile("disk.img", size: 1 << 20)
    try expectRefusal(
      ["serve", "--socket-dir", ".", "--block", "path=disk.img", "--block", "path=./disk.img"],
      code: 1, "block1: cannot serve image ./disk.img: it is in use")
  }

  @Test func `help, version and capabilities are on standard output`() throws {
    for (arguments, part) in [
      (["--help"], "SUBCOMMANDS"), (["help", "serve"], "--socket-dir <dir>"),
      (["serve", "--help"], "EXAMPLES"), (["--version"], "lgdev 0."),
      (["serve", "--print-capabilities", "--nonsense"], #""type" : "block""#),
      (["--generate-completion-script", "bash"], "lgdev"),
    ] {
      let run = try Program.run(arguments, in: directory)
      #expect(run.code == 0)
      #expect(run.errors == [])
      #expect(run.output.contains(part))
    }
  }
}
