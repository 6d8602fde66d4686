// SPDX-License-Identifier: Apache-2.0
//
// CRC32: the checksum of a GPT (UEFI 2.10, 5.3.2): polynomial 0x04c11db7, reflected.

/// A checksum over bytes that come in pieces.
package struct CRC32 {
  private var state: UInt32 = .max

  /// The checksum of the bytes so far.
  package var value: UInt32 { ~state }

  package mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes {
      state = table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ state >> 8
    }
  }

  /// The checksum of these bytes.
  package static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var sum = CRC32()
    sum.add(bytes)
    return sum.value
  }
}

private let table: [UInt32] = (0..<256).map { (index: UInt32) in
  (0..<8).reduce(index) { value, _ in value & 1 == 0 ? value >> 1 : 0xedb8_8320 ^ value >> 1 }
}
