// SPDX-License-Identifier: Apache-2.0

import Foundation
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
