// SPDX-License-Identifier: Apache-2.0

/// What `--memory` asks for: `256M`, or `256M,memfd=NAME`.
struct MemoryArgument: Equatable {
  /// What a guest gets that was given no `--memory`.
  static let usual = MemoryArgument(byteCount: 256 << 20)

  /// In bytes.
  var byteCount: UInt64
  /// The name of the memory file that it is; nil for memory that nobody else can map.
  var name: String?

  /// What a memory file's name can have (memfd_create(2)).
  private static let nameLimit = 249

  private init(byteCount: UInt64) { self.byteCount = byteCount }

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--memory")
    try reader.read(text, hasHead: true)
    let expected = "a size such as 256M or 1G"
    guard case (let size, nil) = try reader.head(expected), let bytes = parseSize(size) else {
      throw reader.error(at: 1, "this is not \(expected)")
    }
    byteCount = bytes
    name = try reader.value("memfd", "a name of 1 to \(Self.nameLimit) bytes") { name in
      name.utf8.count <= Self.nameLimit && !name.utf8.contains(0) ? name : nil
    }
    try reader.finish()
  }
}

/// Reads `256M`, `1G`, `262144K`, or a number of MiB.
private func parseSize(_ text: String) -> UInt64? {
  let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
  let unit = text.last.flatMap { units[Character($0.uppercased())] }
  let digits = unit == nil ? text[...] : text.dropLast()
  guard let number = digits.isEmpty ? nil : decimal(digits), number > 0,
    case let (bytes, overflow) = UInt64(number).multipliedReportingOverflow(by: unit ?? 1 << 20),
    !overflow
  else { return nil }
  return bytes
}
