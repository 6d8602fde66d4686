// SPDX-License-Identifier: Apache-2.0
//
// GUID: 16 bytes and their two spellings, mixed-endian (GPT) and straight (file systems).

/// A GUID as a GPT has it, or a UUID of a file system.
public struct GUID: Hashable, Sendable, CustomStringConvertible {
  /// The first eight bytes in the order in which they are written out.
  let high: UInt64
  /// The last eight.
  let low: UInt64

  /// The parts as they are written out: `high` is `0fc63daf-8483-4772`, `low` the rest.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Whether all bytes are 0, which stands for none.
  public var isZero: Bool { high == 0 && low == 0 }

  /// As blkid(8) and udev write it, in lower case: `0fc63daf-8483-4772-8e79-3d69d8477de4`.
  public var description: String {
    [
      hexadecimal(high >> 32, digits: 8), hexadecimal(high >> 16 & 0xffff, digits: 4),
      hexadecimal(high & 0xffff, digits: 4), hexadecimal(low >> 48, digits: 4),
      hexadecimal(low & 0xffff_ffff_ffff, digits: 12),
    ].joined(separator: "-")
  }
}

/// A number in hexadecimal, lower case, with leading zeros.
func hexadecimal(_ number: some BinaryInteger, digits: Int) -> String {
  let text = String(number, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}
