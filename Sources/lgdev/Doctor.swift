// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `lgdev doctor`.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say what this machine can do, and how to mend what it cannot.",
    discussion: """
      The exit code is the number of problems: of what is missing to run a guest
      with all four devices. What is only faster or nicer to have is a note.
      """)

  @Flag(help: "Print a JSON array, one object for each finding.")
  var json = false

  func run() throws {
    let findings = Finding.all
    let text = json ? Finding.json(findings) : findings.map(\.line).joined(separator: "\n")
    try StandardOutput.writeAll(Array((text + "\n").utf8))
    let problems = findings.count { $0.state == .problem }
    if problems > 0 { throw ExitCode(Int32(problems)) }
  }
}
