// SPDX-License-Identifier: Apache-2.0
//
// RecordedCall: a call on /dev/lguest, and how a recording's line says it. See Recording.

import LguestTransport
package import Linux

/// A word of a request.
package enum RecordedWord: Hashable, Sendable {
  case value(UInt64)
  /// What an address or a number of a file was.
  case symbol(String)
}

/// What a read has brought.
package enum RecordedAnswer: Equatable, Sendable {
  case nothing
  /// A notify of an address, and the status and the accepted features that the guest has written there.
  case notified(UInt64, status: UInt8?, accepted: [UInt8])
  /// A notify of a string.
  case string([UInt8])
  case text([UInt8])
}

/// A call on /dev/lguest.
package struct RecordedCall: Sendable {
  package enum Kind: Sendable {
    case open
    case close
    /// `hypercalls`: whether counters that were asked for tell of any.
    case write(byteCount: Int, words: [RecordedWord], hypercalls: Bool?)
    case read(limit: Int, isMapped: Bool, answer: RecordedAnswer)
    /// No call: the devices of the guest that was made.
    case page(address: UInt64, bytes: [UInt8])
  }

  /// Where it is written, for failures.
  package let place: String
  package let thread: String
  package let kind: Kind
  /// The offset, which is the number of a CPU.
  package let cpu: UInt64
  package let result: Result<Int, Errno>

  /// Reads a line. - Parameter place: what a failure says of it.
  init(_ line: Substring, at place: String) throws {
    guard let colon = line.firstIndex(of: ":") else { throw RecordingError("no thread", place) }
    thread = String(line[..<colon])
    self.place = place
    let halves = Self.halves(line[colon...].dropFirst(2))
    var request = Words(halves.request, place)
    var answer = Words(halves.answer, place)
    let verb = request.next()
    if verb == "page" {
      let address = try request.hexadecimal()
      (kind, cpu, result) = (.page(address: address, bytes: try request.bytes()), 0, .success(0))
      return
    }
    result = try answer.result()
    switch verb {
    case "open": (kind, cpu) = (.open, 0)
    case "close": (kind, cpu) = (.close, 0)
    case "write":
      let count = try request.number()
      cpu = try request.cpu()
      let words = try request.requestWords()
      let hypercalls = answer.next() == "hypercalls" ? answer.next() == "some" : nil
      kind = .write(byteCount: count, words: words, hypercalls: hypercalls)
    case "read":
      let limit = try request.number()
      cpu = try request.cpu()
      kind = .read(
        limit: limit, isMapped: request.next() != "UNMAPPED", answer: try answer.readAnswer())
    default: throw RecordingError("no such call", place)
    }
  }

  private static func halves(_ line: Substring) -> (request: Substring, answer: Substring) {
    guard let equals = line.firstRange(of: " = ") else { return (line, "") }
    return (line[..<equals.lowerBound], line[equals.upperBound...])
  }
}

/// The words of half a line, taken one after the other.
private struct Words {
  private static let errors: [Substring: Errno] = [
    "EFAULT": .badAddress, "EINVAL": .invalidArgument, "EBUSY": .busy, "EBADF": .badFileDescriptor,
    "ENOENT": .notFound, "ENOSPC": .noSpace, "EPERM": .permission, "EACCES": .accessDenied,
    "EINTR": .interrupted, "ENOMEM": .noMemory, "ERESTART": Errno(rawValue: 85),
  ]

  private var rest: Substring
  private let place: String

  init(_ text: Substring, _ place: String) {
    rest = text
    self.place = place
  }

  private func wrong(_ what: String) -> RecordingError { RecordingError(what, place) }

  /// The next word, without a colon behind it; empty at the end.
  mutating func next() -> Substring {
    let word = rest.prefix { $0 != " " }
    rest = rest[word.endIndex...].drop { $0 == " " }
    return word.last == ":" ? word.dropLast() : word
  }

  mutating func number() throws -> Int {
    guard let number = Int(next()) else { throw wrong("a number is missing") }
    return number
  }

  mutating func hexadecimal() throws -> UInt64 {
    guard let number = UInt64(next(), radix: 16) else { throw wrong("an address is missing") }
    return number
  }

  mutating func cpu() throws -> UInt64 {
    guard rest.hasPrefix("cpu ") else { return 0 }
    _ = next()
    return UInt64(try number())
  }

  mutating func result() throws -> Result<Int, Errno> {
    let word = next()
    if let number = Int(word) { return .success(number) }
    guard let errno = Self.errors[word] else { throw wrong("no such result as '\(word)'") }
    return .failure(errno)
  }

  mutating func requestWords() throws -> [RecordedWord] {
    var words: [RecordedWord] = []
    while !rest.isEmpty {
      let word = next()
      words.append(UInt64(word, radix: 16).map { .value($0) } ?? .symbol(String(word)))
    }
    return words
  }

  /// Bytes in hexadecimal.
  mutating func bytes() throws -> [UInt8] {
    let digits = Array(next())
    return try stride(from: 0, to: digits.count - 1, by: 2).map {
      guard let byte = UInt8(String(digits[$0...$0 + 1]), radix: 16) else {
        throw wrong("bytes are missing")
      }
      return byte
    }
  }

  /// The text between quotation marks, in which `\x0a` is a byte.
  mutating func quoted() throws -> [UInt8] {
    var bytes: [UInt8] = []
    var text = rest.dropFirst().dropLast()
    while let character = text.popFirst() {
      if character == "\\" {
        guard let byte = UInt8(text.dropFirst().prefix(2), radix: 16) else {
          throw wrong("a byte is missing")
        }
        bytes.append(byte)
        text = text.dropFirst(3)
      } else {
        bytes += Array(character.utf8)
      }
    }
    return bytes
  }

  mutating func readAnswer() throws -> RecordedAnswer {
    switch next() {
    case "notified":
      if rest.hasPrefix("TEXT ") {
        _ = next()
        return .string(try quoted())
      }
      let address = try hexadecimal()
      guard next() == "status" else { return .notified(address, status: nil, accepted: []) }
      let status = UInt8(truncatingIfNeeded: try number())
      return .notified(address, status: status, accepted: next() == "accepted" ? try bytes() : [])
    case "text": return .text(try quoted())
    default: return .nothing
    }
  }
}
