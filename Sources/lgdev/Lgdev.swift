// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

@main
struct Lgdev: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lgdev", abstract: "Virtio devices over pluggable transports.")
}
