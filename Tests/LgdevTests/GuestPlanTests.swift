// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import LguestTransport
import Testing

@testable import lgdev

/// The plan that a command line after `lgdev serve --transport lguest` makes.
private func fleet(_ arguments: [String]) throws -> FleetPlan {
  try FleetPlan(
    Serve.parse(Invocation(["lgdev", "--transport", "lguest"] + arguments).arguments))
}

/// Its one guest.
private func plan(_ arguments: String...) throws -> GuestPlan {
  let fleet = try fleet(arguments)
  #expect(!fleet.isLabelled)
  return try #require(fleet.guests.first)
}

private func refusal(_ arguments: String...) -> String {
  do {
    _ = try fleet(arguments)
    return "accepted"
  } catch {
    return "\(error)"
  }
}

@Suite(.timeLimit(.minutes(20))) struct GuestPlanTests {
  @Test func `a guest is a kernel, its memory, what it starts with and its devices`() throws {
    let plan = try plan(
      "--kernel", "bzImage", "--memory", "64M", "--initrd", "rd.gz", "--append", "root=/dev/vda ro",
      "--console", "stdio", "--block", "path=a", "--net", "tap=t", "--rng")
    #expect(plan.guest.kernel == "bzImage")
    #expect(plan.guest.memory == 64 << 20)
    #expect(plan.guest.initrd == "rd.gz")
    #expect(plan.guest.commandLine == "root=/dev/vda ro")
    #expect(plan.devices.map(\.name) == ["block0", "net0", "console0", "rng0"])
    #expect(try fleet(["--kernel", "k", "--rng", "--pidfile", "p"]).pidfile == "p")
  }

  @Test func `a kernel's command line may begin with a dash`() throws {
    #expect(try plan("--kernel", "k", "--append", "-- -v", "--rng").guest.commandLine == "-- -v")
  }

  @Test(arguments: [
    ("256", 256 << 20), ("256M", 256 << 20), ("1g", 1 << 30), ("65536K", 64 << 20),
  ])
  func `memory is a size`(text: String, bytes: UInt64) throws {
    #expect(try plan("--kernel", "k", "--memory", text, "--rng").guest.memory == bytes)
  }

  @Test func `memory can be a memory file with a name`() throws {
    #expect(try plan("--kernel", "k", "--memory", "64M", "--rng").guest.memoryName == nil)
    let guest = try plan("--kernel", "k", "--memory", "64M,memfd=web", "--rng").guest
    #expect(guest.memory == 64 << 20)
    #expect(guest.memoryName == "web")
    let long = String(repeating: "x", count: 250)
    #expect(
      refusal("--kernel", "k", "--memory", "64M,memfd=\(long)", "--rng").contains(
        "column 11: '\(long)' is not a name of 1 to 249 bytes"))
    #expect(
      refusal("--kernel", "k", "--memory", "64M,memfs=x", "--rng").contains(
        "did you mean 'memfd'?"))
  }

  @Test(arguments: ["M", "0", "-1", "1.5G", "256X", "99999999999999999G", "+4"])
  func `what is no size is refused`(text: String) throws {
    #expect(refusal("--kernel", "k", "--memory=\(text)", "--rng").contains("not a size such as"))
  }

  @Test func `a guest has 256 MiB where nobody says how much`() throws {
    #expect(try plan("--kernel", "k", "--rng").guest.memory == 256 << 20)
  }

  @Test func `options of the other transport are refused, both ways`() throws {
    for options in [
      ["--socket-dir", "d"], ["--socket-path", "s"], ["--connect", "s"], ["--fd", "3"],
      ["--socket-group", "g"], ["--socket-mode", "600"], ["--once"],
      ["--in-band-notifications"],
    ] {
      let arguments = ["lgdev", "--transport", "lguest", "--kernel", "k", "--rng"] + options
      #expect {
        try FleetPlan(Serve.parse(Invocation(arguments).arguments))
      } throws: {
        "\($0)".hasPrefix("\(options[0]) is for vhost-user")
      }
    }
    for option in ["--kernel", "--memory", "--initrd", "--append"] {
      let arguments = ["lgdev", "--socket-dir", "d", "--rng", option, "x"]
      #expect {
        try ServePlan(Serve.parse(Invocation(arguments).arguments))
      } throws: {
        "\($0)".contains("give --transport lguest as well")
      }
    }
  }

  @Test func `a guest needs a kernel and a device, and disks of one queue`() throws {
    #expect(refusal("--rng").contains("there is no kernel to run; give --kernel"))
    #expect(refusal("--kernel", "k").contains("there is no device to serve"))
    #expect(
      refusal("--kernel", "k", "--block", "path=a,queues=2").contains("knows one queue only"))
  }
}
