// SPDX-License-Identifier: Apache-2.0

import Foundation
import HostTesting
import LguestTransport
import Linux
import Testing

@testable import lgdev

@Suite(.timeLimit(.minutes(20))) struct DoctorTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func `a device file that opens is good, one that does not has its fix`() throws {
    let good = Finding.deviceFile(
      "null", "/dev/null", missing: .problem, use: "it swallows", load: "no way")
    #expect(
      good == Finding(name: "null", state: .good, found: "/dev/null opens: it swallows", fix: nil))
    let missing = Finding.deviceFile(
      "x", "/dev/no-such", missing: .note, use: "", load: "load the driver")
    #expect(missing.state == .note)
    #expect(missing.found == "/dev/no-such: \(Errno.notFound)")
    #expect(missing.fix == "load the driver")
    #expect(
      missing.line == "note    x              /dev/no-such: \(Errno.notFound); load the driver")
  }

  @Test func `a module that is missing, forbidden or another has its own fix`() {
    let good = Finding.lguest(isLoaded: true) { () throws(LguestError) in }
    #expect(good.state == .good && good.fix == nil)
    let troubles: [(Bool, LguestError, found: String, fix: String)] = [
      (false, .noModule, "the module is not loaded", "insmod Kernel/module/lguest.ko"),
      (true, .noModule, "there is no /dev/lguest", "mknod -m 600 /dev/lguest"),
      (true, .notOpened(.accessDenied), "no right to open", "run as root"),
      (true, .notOpened(.permission), "no right to open", "run as root"),
      (true, .wrongInterface("32"), "another interface", "rmmod lguest"),
      (true, .notOpened(.io), "cannot open /dev/lguest: \(Errno.io)", "dmesg"),
    ]
    for (isLoaded, error, found, fix) in troubles {
      let finding = Finding.lguest(isLoaded: isLoaded) { () throws(LguestError) in throw error }
      #expect(finding.state == .problem)
      #expect(finding.found.contains(found), "\(finding)")
      #expect(finding.fix?.contains(fix) == true, "\(finding)")
    }
  }

  @Test func `an output that takes nothing is told`() throws {
    let full = try FileDescriptor.open("/dev/full", .writeOnly)
    let program = try Program(["doctor"], in: directory, screen: full.raw)
    #expect(try program.exitCode() != 0)
    #expect(try program.errorLines == ["lgdev: cannot write to the output: \(Errno.noSpace)"])
  }

  @Test func `every finding that is not good says what to do`() {
    let all = Finding.all
    #expect(
      all.map(\.name) == ["lguest", "tap", "io_uring", "locked memory", "fuse", "qemu"])
    for finding in all { #expect((finding.fix == nil) == (finding.state == .good)) }
  }

  @Test func `the exit code is the number of problems, in words and in JSON`() throws {
    let words = try Program.run(["doctor"], in: directory)
    let problems = words.output.split(separator: "\n").count { $0.hasPrefix("problem ") }
    #expect(Int(words.code) == problems)
    #expect(words.errors == [])
    let json = try Program.run(["doctor", "--json"], in: directory)
    #expect(json.code == words.code)
    let findings = try JSONDecoder().decode([Finding].self, from: Data(json.output.utf8))
    #expect(findings == Finding.all)
  }
}
