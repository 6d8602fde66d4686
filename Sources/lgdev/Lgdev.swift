// SPDX-License-Identifier: Apache-2.0
//
// The command line's root. What leaves this program on its error stream is one line per trouble, and
// its exit code is 0, 1 (the host refuses, or the guest has died) or 2 (the command line is wrong).

import ArgumentParser
import Glibc
import Linux

@main
struct Lgdev: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lgdev",
    abstract: "Virtio devices for virtual machines: block, net, console and rng.",
    discussion: """
      EXAMPLES
        Run a guest on the lguest module:
          lgdev serve --transport lguest --kernel bzImage --memory 256M \\
            --append "root=/dev/vda" --block path=disk.img --console stdio

        Serve a disk and a source of randomness to QEMU:
          lgdev serve --socket-dir /tmp/vm --block path=disk.img --rng

        Look into a disk image:
          lgdev export disk.img /mnt

        Watch what its queues do:
          lgdev top

        See 'lgdev help serve' for the devices and more examples.
      """,
    version: "lgdev \(version)",
    subcommands: [
      Serve.self, ExportCommand.self, ConfigCommand.self, Top.self, Stats.self, Doctor.self,
    ])

  /// The version of the whole project.
  static let version = "0.1.0"

  static func main() {
    // Where that fails there is nobody to tell.
    guard (try? Process.openStandardStreams()) != nil else { Glibc.exit(1) }
    StandardError.open()
    // A write behind the limit of file sizes is an error like others, and a device's own.
    Signal.fileSizeExceeded.ignore()
    Glibc.exit(run(Process.arguments))
  }

  /// Runs a command line. - Returns: the exit code.
  static func run(_ commandLine: [String]) -> Int32 {
    let invocation = Invocation(commandLine)
    if let type = invocation.capabilitiesWanted {
      print(Capabilities(of: type).json)
      return 0
    }
    var commandName = ""
    do {
      commandName = try self.commandName(invocation.arguments)
      var command = try parseAsRoot(invocation.arguments)
      try command.run()
      return 0
    } catch let error as UsageError {
      complain(error.description)
      return 2
    } catch let error as FleetFileError {
      for line in error.lines {
        StandardError.print(line)
        // They may be more than can wait.
        guard StandardError.finish() else { break }
      }
      return 2
    } catch let code as ExitCode {
      return code.rawValue
    } catch let death as GuestDeath {
      StandardError.print("lguest: \(death.reason)")
      return 1
    } catch let error as HostError {
      complain(error.description)
      return 1
    } catch {
      return answer(error, to: commandName)
    }
  }

  /// The words of a command line that name a command: `config check`.
  ///
  /// - Throws: where there is no such command. ArgumentParser takes that for a stray word, or, after `help`, for none.
  private static func commandName(_ arguments: [String]) throws(UsageError) -> String {
    var names: [String] = []
    var command: any ParsableCommand.Type = Self.self
    for word in arguments where word != "help" {
      let subcommands = command.configuration.subcommands
      guard !subcommands.isEmpty, !word.hasPrefix("-") else { break }
      guard let next = subcommands.first(where: { $0._commandName == word }) else {
        let known = subcommands.map { $0._commandName }
        throw UsageError("unknown command '\(word)'; \(hint(for: word, known))")
      }
      names.append(word)
      command = next
    }
    return names.joined(separator: " ")
  }

  /// Prints what ArgumentParser has to say: help and version, or what is wrong with the command line.
  private static func answer(_ error: any Error, to commandName: String) -> Int32 {
    guard exitCode(for: error) != .success else {
      print(fullMessage(for: error))
      return 0
    }
    let help = commandName.isEmpty ? "lgdev help" : "lgdev help \(commandName)"
    complain(message(for: error) + " (see '\(help)')")
    return 2
  }

  /// Prints one line to standard error.
  private static func complain(_ message: String) {
    StandardError.print("lgdev: \(message)")
  }
}

extension ParsableCommand {
  /// Refuses options that were given nothing, as by a script whose variable is not set. An empty path would mean a file of
  /// the root directory, or none.
  func refuseEmpty(_ given: [(option: String, value: String?)]) throws {
    if let empty = given.first(where: { $0.value == "" }) {
      throw ValidationError("\(empty.option) is empty; give it a value, or leave it out")
    }
  }
}

/// The command line is wrong: what, and what to write instead.
struct UsageError: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  /// Throws the first of what a body complains of.
  static func throwingFirst<Result>(
    _ body: (_ complain: (String) -> Void) -> Result
  ) throws(UsageError) -> Result {
    var first: String?
    let result = body { first = first ?? $0 }
    if let first { throw UsageError(first) }
    return result
  }
}

/// The guest has died: why, in its own words or the host's.
struct GuestDeath: Error, Equatable {
  let reason: String
}

/// The host refuses: what, which thing, what to do.
struct HostError: Error, Equatable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
