// SPDX-License-Identifier: Apache-2.0
//
// What one guest does is its own affair; what ends all of them; what is told of each.

import Backends
import Glibc
import HostTesting
import LguestTesting
import LguestTransport
import Linux
import Synchronization
import Testing
import VirtioTesting

@testable import lgdev

private let powerDown: [FakeHost.Answer] = [Host.error(.notFound), Host.text("CRASH: Power down")]

@Suite(.timeLimit(.minutes(20))) struct FleetRunTests {
  let directory: TemporaryDirectory
  let folder: String

  init() throws {
    directory = try TemporaryDirectory()
    folder = directory.path
    try directory.makeFile("disk", size: 1 << 20)
  }

  @Test func `a guest that dies gives back what it had, and the others run on`() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(1), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let disk = "\(folder)/disk"
      let bed = try FleetBed(
        in: folder,
        [("web", [.block(BlockArgument(path: disk))]), ("db", [.rng(try RngArgument("on"))])])
      bed.play("web", Host.error(.notFound), Host.text("CRASH: no init"))
      bed.play("db") { _ in
        FleetBed.waitUntilFree(disk)
        return .failure(.notFound)
      }
      bed.play("db", Host.text("CRASH: Power down"))
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(
      said.has("web: lguest: CRASH: no init", "db: the guest has switched itself off"),
      "\(said.lines)")
    #expect(said.has("web: guest: \(folder)/kernel, 32 MiB of memory"), "\(said.lines)")
    #expect(said.has("db: rng0: getrandom"), "\(said.lines)")
    #expect(
      said.lines.allSatisfy { $0.hasPrefix("web: ") || $0.hasPrefix("db: ") }, "\(said.lines)")
  }

  @Test func `guests that switch themselves off end the process with 0, after restarts too`()
    async throws
  {
    let result = await #expect(
      processExitsWith: .exitCode(0), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let bed = try FleetBed(
        in: folder, [("a", [.rng(try RngArgument("on"))]), ("b", [.rng(try RngArgument("on"))])])
      bed.play("a", Host.error(Errno(rawValue: 85)))
      for answer in powerDown {
        bed.play("a", answer)
        bed.play("b", answer)
      }
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(
      said.has("a: the guest starts again", "a: the guest has switched itself off"),
      "\(said.lines)")
    #expect(said.count("b: the guest has switched itself off") == 1, "\(said.lines)")
  }

  @Test func `a module that refuses one guest may run the others`() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(1), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let bed = try FleetBed(in: folder, [("a", []), ("b", [])])
      bed.hosts["a"]?.fail(0, .noMemory)
      for answer in powerDown { bed.play("b", answer) }
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(
      said.lines.contains { $0.hasPrefix("a: lgdev: the lguest module refuses the guest") },
      "\(said.lines)")
    #expect(said.has("b: the guest has switched itself off"), "\(said.lines)")
  }

  @Test func `a module of another interface is found before anything is made`() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(9), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let bed = try FleetBed(
        in: folder, [("a", [.console(try ConsoleArgument("pty:\(folder)/link"))])])
      bed.hosts["a"]?.setInitializeResult(32)
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(said.lines.count == 1, "\(said.lines)")
    #expect(
      said.lines.first?.hasPrefix("a: the lguest module speaks another interface") == true,
      "\(said.lines)")
  }

  @Test func `an image that is missing is told before what the module lacks`() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(9), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let disk = BlockArgument(path: "\(folder)/none")
      let bed = try FleetBed(in: folder, [("a", []), ("b", [.block(disk)])])
      bed.hosts["a"]?.setInitializeResult(32)
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(said.lines.count == 1, "\(said.lines)")
    #expect(
      said.lines.first?.hasPrefix("b: block0: cannot serve image \(folder)/none: there is no such")
        == true, "\(said.lines)")
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func `a signal ends all guests, and that is no failure`(signal: Int32) async throws {
    let result = await #expect(
      processExitsWith: .exitCode(0), observing: [\.standardErrorContent]
    ) { [folder = folder as String, signal = signal as Int32] in
      let bed = try FleetBed(in: folder, [("a", []), ("b", [])])
      bed.play("a", Host.sleep)
      bed.play("b") { host in
        FleetBed.send(signal)
        return Host.sleep(host)
      }
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(said.count("a: the guest was stopped") == 1, "\(said.lines)")
    #expect(said.count("b: the guest was stopped") == 1, "\(said.lines)")
  }

  @Test func `Ctrl-C three times ends the guest at the terminal, which is as before, and no other`()
    async throws
  {
    let result = await #expect(
      processExitsWith: .exitCode(0), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let terminal = try PseudoTerminal()
      let line = try FileDescriptor.open(terminal.path, [.readWrite, .noControllingTerminal])
      dup2(line.raw, 0)
      dup2(line.raw, 1)
      let user = try terminal.descriptor.duplicate()
      let view = Shared(
        try FileDescriptor.open(terminal.path, [.readWrite, .noControllingTerminal]))
      let keys = Shared(user)
      let bed = try FleetBed(
        in: folder, [("at", [.console(try ConsoleArgument("stdio"))]), ("other", [])])
      let otherRuns = Flag()
      bed.play("at") { host in
        // It runs only once the terminal is raw.
        guard !view.echoes else { return .failure(.io) }
        while !otherRuns.isSet { usleep(1000) }
        try? keys.descriptor.writeAll([3, 3, 3])
        return Host.sleep(host)
      }
      bed.play("other") { _ in
        otherRuns.set()
        while !view.echoes { usleep(1000) }
        return .failure(.notFound)
      }
      bed.play("other", Host.text("CRASH: Power down"))
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(said.count("at: the guest was stopped") == 1, "\(said.lines)")
    #expect(said.count("other: the guest has switched itself off") == 1, "\(said.lines)")
  }

  @Test func `what a guest without a console prints comes in whole lines with its name`()
    async throws
  {
    let result = await #expect(
      processExitsWith: .exitCode(0), observing: [\.standardOutputContent]
    ) { [folder = folder as String] in
      let bed = try FleetBed(in: folder, [("a", []), ("b", [])])
      for guest in ["a", "b"] {
        for part in ["Linux ver", "sion 3\r\nand ", "more"] {
          bed.play(guest) { host in
            // The guest that runs, not the one by which the host was looked at before.
            guard let words = host.requests.last(where: { $0[0] == 0 }),
              let memory = try? GuestView(base: words[1], pages: words[2])
            else { return .failure(.io) }
            memory.memory.write(Array(part.utf8) + [0], at: 0x2000)
            return Host.notified(0x2000)(host)
          }
        }
        for answer in powerDown { bed.play(guest, answer) }
      }
      bed.run()
    }
    let said = Said(result?.standardOutputContent)
    for line in ["a: Linux version 3", "a: and more", "b: Linux version 3", "b: and more"] {
      #expect(said.count(line) == 1, "\(said.lines)")
    }
  }

  @Test func `what is wrong with one guest is found before another starts`() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(9), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let bed = try FleetBed(
        in: folder, [("a", []), ("b", [.block(BlockArgument(path: "\(folder)/none"))])])
      bed.play("a") { _ in
        StandardError.print("a runs")
        return .failure(.notFound)
      }
      bed.run()
    }
    let said = Said(result?.standardErrorContent)
    #expect(said.lines.count == 1, "\(said.lines)")
    #expect(
      said.lines.first?.hasPrefix("b: block0: cannot serve image \(folder)/none") == true,
      "\(said.lines)")
  }
}

extension FleetRunTests {
  @Test func `more queues than interrupts are found before another guest starts`() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(9), observing: [\.standardErrorContent]
    ) { [folder = folder as String] in
      let sources = [DeviceArgument](repeating: .rng(try RngArgument("on")), count: 32)
      let bed = try FleetBed(in: folder, [("a", []), ("b", sources)])
      bed.run()
    }
    let expected =
      "b: rng31: no interrupt is left; a guest has 31, one for each queue; leave out a device"
    #expect(Said(result?.standardErrorContent).lines == [expected])
  }
}

/// A descriptor that several hold.
private final class Shared: Sendable {
  let descriptor: FileDescriptor
  init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// Whether a terminal shows what is typed.
  var echoes: Bool { (try? Terminal(descriptor.raw).settings().echoes) ?? true }
}
