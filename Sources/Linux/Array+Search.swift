// SPDX-License-Identifier: Apache-2.0

import CLinux

extension [UInt8] {
  /// Whether these bytes have others among them, in a row (memmem(3)).
  package func holds(_ word: [UInt8]) -> Bool {
    // SAFETY: both are read within their counts.
    unsafe withUnsafeBytes { bytes in
      unsafe word.withUnsafeBytes { word in
        unsafe clinux_holds(bytes.baseAddress, bytes.count, word.baseAddress, word.count) != 0
      }
    }
  }
}
