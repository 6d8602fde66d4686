// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Linux

/// What standard error can be, and does not take a byte until it is read.
struct StuckStream: ~Copyable {
  enum Kind: String, CaseIterable, Codable, Sendable {
    /// As before `| less`.
    case pipe
    /// As a service's, while the journal stands still.
    case socket
    /// As after Ctrl-S.
    case terminal
  }

  private struct Ends: ~Copyable {
    let reading: FileDescriptor
    let writing: FileDescriptor
  }

  private let kind: Kind
  private let ends: Ends

  init(_ kind: Kind) throws {
    let ends = try Self.makeEnds(kind)
    try Self.fill(ends.writing, kind)
    self.kind = kind
    self.ends = ends
  }

  private static func fill(_ stream: borrowing FileDescriptor, _ kind: Kind) throws(Errno) {
    guard kind != .terminal else {
      guard tcflow(stream.raw, TCOOFF) == 0 else { throw Errno.current }
      return
    }
    try stream.setNonBlocking(true)
    for size in [4096, 1] {
      let filler = [UInt8](repeating: UInt8(ascii: "."), count: size)
      do throws(Errno) { while true { _ = try stream.write(filler) } } catch {
        guard error == .again else { throw error }
      }
    }
    try stream.setNonBlocking(false)
  }

  private static func makeEnds(_ kind: Kind) throws(Errno) -> Ends {
    switch kind {
    case .pipe:
      let pipe = try Pipe()
      return Ends(reading: try pipe.reading.duplicate(), writing: try pipe.writing.duplicate())
    case .socket:
      let pair = try UnixSocket.pair()
      return Ends(reading: try pair.first.duplicate(), writing: try pair.second.duplicate())
    case .terminal:
      let terminal = try PseudoTerminal()
      return Ends(
        reading: try terminal.descriptor.duplicate(),
        writing: try .open(terminal.path, [.readWrite, .noControllingTerminal]))
    }
  }

  /// What becomes a program's stream.
  var descriptor: Int32 { ends.writing.raw }

  /// Whether a program's write to it fails rather than waits.
  func setNonBlocking(_ on: Bool) throws(Errno) { try ends.writing.setNonBlocking(on) }

  /// Reads what others have written and will write, until it is as expected. - Returns: all of it.
  func read(until isExpected: (String) -> Bool) throws -> String {
    if kind == .terminal, tcflow(descriptor, TCOON) != 0 { throw Errno.current }
    var bytes: [UInt8] = []
    while true {
      let text = String(decoding: bytes.drop { $0 == UInt8(ascii: ".") }, as: UTF8.self)
      if isExpected(text) { return text }
      guard try !Poll.wait(for: .readable, on: ends.reading, timeout: soon).isEmpty else {
        throw ProgramError("it said no more than '\(text)'")
      }
      bytes += try ends.reading.read(upTo: 1 << 16)
    }
  }
}
