// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// What this program prints as JSON: keys sorted, one to a line.
enum JSONText {
  /// A value as JSON. Keys are written in small letters with underlines.
  static func of(_ value: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    // Strings, whole numbers and finite ones always encode.
    guard let data = try? encoder.encode(value) else { return "null" }
    return String(decoding: data, as: UTF8.self)
  }
}
