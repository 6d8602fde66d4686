// SPDX-License-Identifier: Apache-2.0
//
// Bytes: what was read from an image, taken apart without a way to trap.

/// Bytes of an image. What lies past their end reads as 0, so a caller that must know compares
/// ``count``.
struct Bytes: Equatable {
  private let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var count: Int { bytes.count }

  subscript(_ offset: Int) -> UInt8 {
    bytes.indices.contains(offset) ? bytes[offset] : 0
  }

  /// A little-endian number.
  func little<Number: FixedWidthInteger>(_ offset: Int, as: Number.Type = Number.self) -> Number {
    (0..<MemoryLayout<Number>.size).reversed().reduce(0) { number, index in
      number << 8 | Number(truncatingIfNeeded: self[offset + index])
    }
  }

  /// A big-endian number.
  func big<Number: FixedWidthInteger>(_ offset: Int, as: Number.Type = Number.self) -> Number {
    little(offset, as: Number.self).byteSwapped
  }

  /// A part; shorter where it passes the end.
  func part(_ offset: Int, _ count: Int) -> [UInt8] {
    Array(bytes.dropFirst(max(0, offset)).prefix(max(0, count)))
  }

  /// Whether a text stands at an offset.
  func has(_ text: StaticString, at offset: Int) -> Bool { has(text.description.utf8, at: offset) }

  /// Whether bytes stand at an offset.
  func has(_ wanted: some Collection<UInt8>, at offset: Int) -> Bool {
    part(offset, wanted.count).elementsEqual(wanted)
  }

  /// A UUID whose bytes stand in the order in which they are written out; nil where all are 0.
  func uuid(_ offset: Int) -> String? {
    let guid = GUID(high: big(offset), low: big(offset + 8))
    return guid.isZero ? nil : guid.description
  }

  /// A GUID as UEFI stores it: the first three parts are little-endian.
  func guid(_ offset: Int) -> GUID {
    let first = UInt64(little(offset, as: UInt32.self))
    let second = UInt64(little(offset + 4, as: UInt16.self))
    let third = UInt64(little(offset + 6, as: UInt16.self))
    return GUID(high: first << 32 | second << 16 | third, low: big(offset + 8))
  }

  /// A label: up to the first NUL, without trailing white space.
  func label(_ offset: Int, _ count: Int) -> [UInt8] {
    trimmed(Array(part(offset, count).prefix { $0 != 0 }))
  }

  /// A label in UTF-16 as UTF-8; `count` is in units of two bytes.
  func label16(_ offset: Int, _ count: Int, isBig: Bool = false) -> [UInt8] {
    trimmed(Array(text16(offset, count, isBig: isBig).utf8))
  }

  /// UTF-16 up to the first NUL or the end of the bytes; `count` is in units of two bytes. What is no
  /// UTF-16 becomes U+FFFD.
  func text16(_ offset: Int, _ count: Int, isBig: Bool = false) -> String {
    let available = max(0, min(count, (self.count - offset) / 2))
    let units = (0..<available).map { index in
      let unit: UInt16 = little(offset + index * 2)
      return isBig ? unit.byteSwapped : unit
    }
    return String(decoding: units.prefix { $0 != 0 }, as: UTF16.self)
  }
}

private func trimmed(_ label: [UInt8]) -> [UInt8] {
  let end = label.lastIndex { !($0 == 0x20 || (0x09...0x0d).contains($0)) }
  return end.map { Array(label[...$0]) } ?? []
}
