// SPDX-License-Identifier: Apache-2.0

/// What `--console` asks for: `stdio|pty[:LINK]|socket:PATH|file:PATH`, then
/// `[,size=COLUMNSxROWS][,overflow=block|drop]`.
struct ConsoleArgument: Equatable {
  /// The other end of the line.
  enum End: Equatable {
    case stdio
    /// A new pseudo-terminal, with a symbolic link to it where one is named.
    case pty(link: String?)
    /// A Unix socket that listens for one reader after the other.
    case socket(String)
    /// A log file, appended to.
    case file(String)
  }

  enum Overflow: String, CaseIterable { case block, drop }

  struct Size: Equatable {
    var columns: Int
    var rows: Int
  }

  /// The socket's name, where the user chose it.
  var id: String?
  var end: End
  /// The size that the guest is told; nil for the terminal's own, or none.
  var size: Size?
  /// What happens to output when the reader is slow and the buffer full.
  var overflow: Overflow?

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--console")
    try reader.read(text, hasHead: true)
    let kinds = "stdio, pty[:LINK], socket:PATH or file:PATH"
    let (kind, argument) = try reader.head(kinds)
    switch (kind, argument) {
    case ("stdio", nil): end = .stdio
    case ("pty", nil): end = .pty(link: nil)
    case ("pty", let link?) where !link.isEmpty: end = .pty(link: link)
    case ("socket", let path?) where !path.isEmpty: end = .socket(path)
    case ("file", let path?) where !path.isEmpty: end = .file(path)
    default: throw reader.error(at: 1, "expected \(kinds)")
    }
    size = try reader.value("size", "a size such as 80x25", Size.init(text:))
    overflow = try reader.choice("overflow")
    id = try reader.deviceName()
    try reader.finish()
  }
}

extension ConsoleArgument.Size {
  init?(text: String) {
    let parts = text.split(separator: "x", omittingEmptySubsequences: false)
    guard parts.count == 2, let columns = decimal(parts[0]), let rows = decimal(parts[1]),
      (1...0xffff).contains(columns), (1...0xffff).contains(rows)
    else { return nil }
    self.init(columns: columns, rows: rows)
  }
}
