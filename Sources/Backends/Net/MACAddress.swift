// SPDX-License-Identifier: Apache-2.0

/// An Ethernet address of one station.
public struct MACAddress: Sendable, Hashable, CustomStringConvertible {
  /// Six bytes, the first one sent first.
  public let bytes: [UInt8]

  /// Takes six bytes. - Returns: nil for other counts, a group's address, or zero.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == 6, bytes[0] & 1 == 0, bytes.contains(where: { $0 != 0 }) else {
      return nil
    }
    self.bytes = bytes
  }

  /// Reads `52:54:00:12:34:56`. - Returns: nil where that is no address of one station.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    var bytes: [UInt8] = []
    for part in parts {
      // UInt8 alone would take a sign too.
      guard part.count <= 2, part.allSatisfy(\.isHexDigit), let byte = UInt8(part, radix: 16) else {
        return nil
      }
      bytes.append(byte)
    }
    self.init(bytes)
  }

  /// As it is written usually.
  public var description: String {
    bytes.map { byte in
      let digits = String(byte, radix: 16)
      return byte < 16 ? "0" + digits : digits
    }.joined(separator: ":")
  }
}
