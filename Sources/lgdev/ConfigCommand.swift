// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `lgdev config`.
struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "Check files for 'lgdev serve --config'.",
    subcommands: [ConfigCheck.self])
}

/// `lgdev config check`.
struct ConfigCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Say what is wrong in a file of guests.",
    discussion: """
      Each error is a line, FILE:LINE:COLUMN and what to write instead. The exit code
      is 0 for a file that is right, 2 for one that is not, 1 for one that cannot
      be read. The file alone is looked at, and nothing on this machine.

      See FLEET in 'lgdev help serve' for what such a file holds.
      """)

  @Argument(help: "The file.", completion: .file())
  var file: String

  func validate() throws { try refuseEmpty([("the file's name", file)]) }

  func run() throws {
    let plan = try FleetFile.plan(file)
    let names = plan.guests.map(\.name).joined(separator: ", ")
    let count = "\(plan.guests.count) guest\(plan.guests.count == 1 ? "" : "s")"
    try StandardOutput.writeAll(Array("\(file): \(count): \(names)\n".utf8))
  }
}
