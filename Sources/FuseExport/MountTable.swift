// SPDX-License-Identifier: Apache-2.0

import Linux

/// What is mounted, as this process sees it.
///
/// In /proc/self/mountinfo a line is `36 35 98:0 /root /mount/point rw - type source options`, with spaces and the
/// like in octal (proc(5)).
struct MountTable {
  /// A mount.
  struct Entry: Equatable {
    let id: String
    /// The mount that it is mounted on.
    let parent: String
    let path: String
    let kind: String
    let source: String
  }

  let entries: [Entry]

  /// Reads it; nil where there is no /proc.
  static func read() -> MountTable? {
    guard let bytes = try? FileSystem.contents(of: "/proc/self/mountinfo", limit: 16 << 20) else {
      return nil
    }
    return MountTable(bytes)
  }

  init(_ text: [UInt8]) {
    entries = text.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let words = line.split(separator: UInt8(ascii: " ")).map(Self.unescaped)
      guard words.count > 4, let dash = words.lastIndex(of: "-"), dash + 2 < words.count else {
        return nil
      }
      return Entry(
        id: words[0], parent: words[1], path: words[4], kind: words[dash + 1],
        source: words[dash + 2])
    }
  }

  /// What is mounted on a path; nil for nothing. The last one is on top.
  func top(at path: String) -> Entry? { entries.last { $0.path == path } }

  private static func unescaped(_ word: ArraySlice<UInt8>) -> String {
    var bytes: [UInt8] = []
    var rest = word
    while let byte = rest.first {
      rest = rest.dropFirst()
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3,
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
