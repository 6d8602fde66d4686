// SPDX-License-Identifier: Apache-2.0
//
// Program: the built lgdev, run as a user runs it, in a directory of its own.

import Foundation
import HostTesting

/// Something about a run that should not be.
struct ProgramError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// A running lgdev.
final class Program {
  private let process = Process()
  private let directory: TemporaryDirectory
  private let files: TemporaryDirectory

  /// Starts it.
  ///
  /// - Parameters:
  ///   - directory: where it runs.
  ///   - input: a descriptor that becomes number 3, by way of standard input.
  ///   - terminal: a descriptor that becomes standard input.
  ///   - screen: a descriptor that becomes standard output.
  ///   - errors: a descriptor that becomes standard error.
  ///   - environment: what is to be in the environment besides what is there.
  init(
    _ arguments: [String], in directory: TemporaryDirectory, input: Int32? = nil,
    terminal: Int32? = nil, screen: Int32? = nil, errors: Int32? = nil,
    environment: [String: String] = [:]
  ) throws {
    self.directory = directory
    files = try TemporaryDirectory()
    for name in ["out", "err"] { try files.makeFile(name, size: 0) }
    process.currentDirectoryURL = URL(fileURLWithPath: directory.path)
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardOutput =
      screen.map { FileHandle(fileDescriptor: $0, closeOnDealloc: false) }
      ?? FileHandle(forWritingAtPath: "\(files.path)/out")
    process.standardError =
      errors.map { FileHandle(fileDescriptor: $0, closeOnDealloc: false) }
      ?? FileHandle(forWritingAtPath: "\(files.path)/err")
    if let input {
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", "exec \"$0\" \"$@\" 3<&0 </dev/null", Self.path] + arguments
      process.standardInput = FileHandle(fileDescriptor: input, closeOnDealloc: false)
    } else {
      process.executableURL = URL(fileURLWithPath: Self.path)
      process.arguments = arguments
      process.standardInput =
        terminal.map { FileHandle(fileDescriptor: $0, closeOnDealloc: false) }
        ?? FileHandle.nullDevice
    }
    try process.run()
  }

  deinit { if process.isRunning { send(SIGKILL) } }

  /// It stands beside the tests.
  static let path: String = {
    let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return URL(fileURLWithPath: tests).deletingLastPathComponent().path + "/lgdev"
  }()

  /// Runs a command line to its end.
  static func run(
    _ arguments: [String], in directory: TemporaryDirectory
  ) throws -> (code: Int32, output: String, errors: [String]) {
    let program = try Program(arguments, in: directory)
    let code = try program.exitCode()
    return (code, try program.files.text("out"), try program.errorLines)
  }

  var isRunning: Bool { process.isRunning }

  var processID: Int32 { process.processIdentifier }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// What it has printed to standard error.
  var errorLines: [String] {
    get throws { try files.text("err").split(separator: "\n").map(String.init) }
  }

  /// Waits until it says that it listens, `count` times.
  func awaitListening(_ count: Int = 1) throws {
    try wait("it does not listen") {
      try errorLines.count { $0.contains(": listening on ") } == count
    }
  }

  /// Waits until it has printed a line.
  func awaitLine(_ part: String) throws {
    try wait("it does not print '\(part)'") { try errorLines.contains { $0.contains(part) } }
  }

  /// Waits for its end. - Returns: its exit code; 128 and the signal's number where one has killed it.
  func exitCode() throws -> Int32 {
    guard eventually({ !process.isRunning }) else {
      throw ProgramError("it still runs; it said \(try errorLines)")
    }
    return process.terminationReason == .exit
      ? process.terminationStatus : 128 + process.terminationStatus
  }

  private func wait(_ trouble: String, until isDone: () throws -> Bool) throws {
    let isDone = try eventually {
      // A line may be its last.
      let isRunning = process.isRunning
      if try isDone() { return true }
      guard isRunning else { throw ProgramError("\(trouble); it said \(try errorLines)") }
      return false
    }
    guard isDone else { throw ProgramError("\(trouble); it said \(try errorLines)") }
  }
}
