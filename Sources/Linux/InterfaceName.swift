// SPDX-License-Identifier: Apache-2.0
//
// The field that holds an interface's name in each network ioctl.

/// A name of at most 15 bytes, as in struct ifreq.
struct InterfaceName {
  /// 16 bytes, with at least one terminator.
  var bytes = InlineArray<16, CChar>(repeating: 0)

  init() {}

  /// - Throws: `.invalidArgument` for a name that no interface can have.
  init(_ name: String) throws(Errno) {
    let utf8 = Array(name.utf8)
    guard (1...15).contains(utf8.count), !utf8.contains(0), !utf8.contains(UInt8(ascii: "/")) else {
      throw .invalidArgument
    }
    for (index, byte) in utf8.enumerated() {
      bytes[index] = CChar(bitPattern: byte)
    }
  }

  var text: String {
    let utf8 = bytes.indices.map { UInt8(bitPattern: bytes[$0]) }
    return String(decoding: utf8.prefix { $0 != 0 }, as: UTF8.self)
  }
}
