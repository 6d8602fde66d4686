// SPDX-License-Identifier: Apache-2.0
//
// The tools that make disks, and blkid(8) and sfdisk(8), whose word on them is compared with ours.

import DiskLayout
import Foundation
import Linux

/// A tool that did not do what it should.
struct ToolError: Error, CustomStringConvertible {
  let description: String
}

/// An image file in a directory of its own, removed when the test lets it go.
final class ImageFile: ImageReader {
  private let directory: URL
  let path: String

  /// Makes an image of zeros.
  init(byteCount: UInt64) throws {
    directory = FileManager.default.temporaryDirectory
      .appending(path: "lgdev-disk-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
    path = directory.appending(path: "disk.img").path
    try FileDescriptor.open(path, [.readWrite, .create, .exclusive]).truncate(to: byteCount)
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  var byteCount: UInt64 { (try? FileSystem.status(of: path).size) ?? 0 }

  func read(at offset: UInt64, count: Int) throws(ImageReadError) -> [UInt8] {
    do throws(Errno) {
      var bytes = [UInt8](repeating: 0, count: count)
      let length = try FileDescriptor.open(path, .readOnly).read(into: &bytes, at: offset)
      return Array(bytes.prefix(length))
    } catch {
      throw ImageReadError("\(error)")
    }
  }

  func write(_ bytes: [UInt8], at offset: UInt64) throws {
    _ = try FileDescriptor.open(path, [.writeOnly]).write(bytes, at: offset)
  }

  /// Copies another image into this one.
  func insert(_ other: ImageFile, at offset: UInt64) throws {
    let size = other.byteCount
    var position: UInt64 = 0
    while position < size {
      let bytes = try other.read(at: position, count: Int(min(65536, size - position)))
      if bytes.contains(where: { $0 != 0 }) { try write(bytes, at: offset + position) }
      position += UInt64(bytes.count)
    }
  }

  var layout: DiskLayout { DiskLayout.read(from: self) }

  /// What blkid says of the image, or of a part of it: TYPE, LABEL, UUID and more.
  func blkid(at offset: UInt64 = 0, byteCount: UInt64? = nil) throws -> [String: String] {
    var arguments = ["-p", "-o", "udev", "-O", "\(offset)"]
    if let byteCount { arguments += ["-S", "\(byteCount)"] }
    return try tool("blkid", arguments + [path], mayFail: true).pairs
  }
}

/// What a tool has printed.
struct ToolOutput {
  let text: String

  /// Lines of the form NAME=VALUE.
  var pairs: [String: String] {
    var pairs: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let halves = line.split(separator: "=", maxSplits: 1)
      if halves.count == 2 { pairs[String(halves[0])] = String(halves[1]) }
    }
    return pairs
  }
}

/// Runs a tool to its end.
@discardableResult
func tool(
  _ name: String, _ arguments: [String], input: String = "", mayFail: Bool = false
) throws -> ToolOutput {
  let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
  guard let folder = folders.first(where: { FileSystem.isExecutable("\($0)/\(name)") }) else {
    throw ToolError(description: "\(name) is missing: see Scripts/setup.sh")
  }
  let process = Process()
  process.executableURL = URL(filePath: "\(folder)/\(name)")
  process.arguments = arguments
  // Whoever tests may have a language.
  process.environment = ["LC_ALL": "C.UTF-8", "PATH": folders.joined(separator: ":")]
  let output = Foundation.Pipe()
  process.standardOutput = output
  process.standardError = output
  // Not a pipe: whoever writes to one whose reader has ended is ended by SIGPIPE.
  let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
  try Data(input.utf8).write(to: file)
  defer { try? FileManager.default.removeItem(at: file) }
  process.standardInput = try FileHandle(forReadingFrom: file)
  try process.run()
  let text = String(
    decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
  process.waitUntilExit()
  guard mayFail || process.terminationStatus == 0 else {
    throw ToolError(description: "\(name) \(arguments): \(process.terminationStatus): \(text)")
  }
  return ToolOutput(text: text)
}
