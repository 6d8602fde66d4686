// SPDX-License-Identifier: Apache-2.0
//
// Little-endian numbers in private bytes: headers of kernels, boot parameters, the device page.

extension [UInt8] {
  /// The number at an offset. - Precondition: all of it lies within.
  package func littleEndian<Word: FixedWidthInteger & UnsignedInteger>(
    _ type: Word.Type = Word.self, at offset: Int
  ) -> Word {
    var word: Word = 0
    for index in 0..<MemoryLayout<Word>.size {
      word |= Word(self[offset + index]) << Word(8 * index)
    }
    return word
  }

  /// Writes a number at an offset. - Precondition: all of it lies within.
  package mutating func put<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, at offset: Int)
  {
    for index in 0..<MemoryLayout<Word>.size {
      self[offset + index] = UInt8(truncatingIfNeeded: word >> Word(8 * index))
    }
  }

  /// Appends a number.
  package mutating func append<Word: FixedWidthInteger & UnsignedInteger>(littleEndian word: Word) {
    for index in 0..<MemoryLayout<Word>.size {
      append(UInt8(truncatingIfNeeded: word >> Word(8 * index)))
    }
  }
}
