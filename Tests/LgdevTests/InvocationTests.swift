// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FuseExport
import Testing

@testable import lgdev

@Suite(.timeLimit(.minutes(20))) struct InvocationTests {
  @Test func `help is written for 80 columns, so that no terminal breaks its lines`() {
    let commands: [any ParsableCommand.Type] = [
      Lgdev.self, Serve.self, ExportCommand.self, ConfigCommand.self, ConfigCheck.self, Top.self,
      Stats.self, Doctor.self,
    ]
    for command in commands {
      let lines = command.configuration.discussion.split(separator: "\n")
      #expect(lines.filter { $0.count > 80 } == [], "\(command)")
    }
  }

  @Test func `a link named after a device type means serve`() {
    #expect(
      Invocation(["/usr/libexec/lgdev-net", "--fd", "3"]).arguments == ["serve", "--fd", "3"])
    #expect(Invocation(["/usr/bin/lgdev", "--version"]).arguments == ["--version"])
  }

  @Test(arguments: [
    ["/sbin/mount.fuse.lgdev", "disk.img", "/mnt", "-sv", "-o", "rw,noexec", "-t", "fuse.lgdev"],
    ["lgdev", "disk.img", "/mnt", "-o", "rw,noexec"],
  ])
  func `what mount(8) and mount.fuse3(8) call means export`(_ commandLine: [String]) {
    #expect(
      Invocation(commandLine).arguments == [
        "export", "--as-mount-helper", "disk.img", "/mnt", "-o", "rw,noexec",
      ])
  }

  @Test func `words for -o stand by themselves or behind it, and mount -r means read-only`() throws
  {
    func plan(_ words: String...) throws -> ExportPlan {
      try ExportPlan(try ExportCommand.parse(words + ["disk.img", "/mnt"]))
    }
    for plan in [try plan("-orw,allow_other"), try plan("-o", "rw,allow_other")] {
      #expect(plan.isWritable && plan.options.allowsOthers)
    }
    #expect(try plan("--as-mount-helper", "-o", "rw,writable,growable").isWritable)
    let readOnly = try plan("--as-mount-helper", "-o", "ro,writable,growable")
    #expect(!readOnly.isWritable && !readOnly.options.isGrowable)
    #expect(throws: UsageError.self) { try plan("") }
  }

  @Test(arguments: [
    (["lgdev-console", "--print-capabilities"], DeviceType.console),
    (["lgdev-rng", "--nonsense", "--print-capabilities", "--block", "path=x"], .rng),
    (["lgdev", "serve", "--net", "tap=t", "--print-capabilities"], .net),
    (["lgdev", "serve", "--rng=source=x", "--print-capabilities"], .rng),
    (["lgdev", "serve", "--print-capabilities", "--blk-file", "x"], .block),
    (["lgdev", "--print-capabilities"], .block),
  ])
  func `capabilities are those of the link's or the first device's type`(
    commandLine: [String], type: DeviceType
  ) {
    #expect(Invocation(commandLine).capabilitiesWanted == type)
  }

  @Test func `capabilities are printed only when asked for`() {
    #expect(Invocation(["lgdev", "serve", "--rng"]).capabilitiesWanted == nil)
  }

  @Test func `capabilities are in QEMU's words`() {
    #expect(Capabilities(of: .block).features == ["read-only", "blk-file"])
    #expect(Capabilities(of: .block).json.contains(#""type" : "block""#))
    #expect(!Capabilities(of: .rng).json.contains("features"))
  }

  @Test func `rng takes a value or none`() {
    #expect(Invocation(["lgdev", "--rng"]).arguments == ["--rng=on"])
    #expect(Invocation(["lgdev", "--rng", "--once"]).arguments == ["--rng=on", "--once"])
    #expect(Invocation(["lgdev", "--rng", "source=x"]).arguments == ["--rng", "source=x"])
    #expect(Invocation(["lgdev", "--rng=source=x"]).arguments == ["--rng=source=x"])
  }
}
