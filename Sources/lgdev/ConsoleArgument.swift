// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux

/// What `--console` asks for: `stdio|pty[:LINK]|socket:PATH|file:PATH`, then
/// `[,size=COLUMNSxROWS][,overflow=block|drop]`.
struct ConsoleArgument: Equatable {
  /// The socket's name, where the user chose it.
  var id: String?
  /// The other end of the line.
  var end: ConsoleOptions.HostEnd
  /// The size that the guest is told; nil for the terminal's own.
  var size: TerminalSize?
  /// What happens to output when the reader is slow and the buffer full.
  var overflow = ConsoleOptions.Overflow.block

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--console")
    try reader.read(text, hasHead: true)
    let kinds = "stdio, pty[:LINK], socket:PATH or file:PATH"
    let (kind, argument) = try reader.head(kinds)
    switch (kind, argument) {
    case ("stdio", nil): end = .stdio()
    case ("pty", nil): end = .pty(link: nil)
    case ("pty", let link?) where !link.isEmpty: end = .pty(link: link)
    case ("socket", let path?) where !path.isEmpty: end = .socket(path: path)
    case ("file", let path?) where !path.isEmpty: end = .file(path: path)
    default: throw reader.error(at: 1, "expected \(kinds)")
    }
    size = try reader.value("size", "a size such as 80x25", parseSize)
    overflow = try reader.choice("overflow") ?? .block
    id = try reader.deviceName()
    try reader.finish()
  }
}

/// Reads `80x25`.
private func parseSize(_ text: String) -> TerminalSize? {
  let parts = text.split(separator: "x", omittingEmptySubsequences: false)
  let numbers = parts.compactMap { decimal($0).flatMap(UInt16.init(exactly:)) }
  guard parts.count == 2, numbers.count == 2, !numbers.contains(0) else { return nil }
  return TerminalSize(columns: numbers[0], rows: numbers[1])
}
