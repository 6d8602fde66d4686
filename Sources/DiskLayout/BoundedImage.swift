// SPDX-License-Identifier: Apache-2.0
//
// BoundedImage: the image as the rest of the module sees it. Nothing outside it can be asked for, storage
// that fails gives a warning and no bytes, and warnings are bounded.

/// An image, and what was found wrong with it so far.
final class BoundedImage {
  /// The largest number of bytes that a reader is asked for at once.
  static let largestRead = 65536

  let byteCount: UInt64
  private let fetch: (UInt64, Int) throws(ImageReadError) -> [UInt8]
  private(set) var warnings: [String] = []

  init(_ reader: some ImageReader) {
    byteCount = reader.byteCount
    fetch = { offset, count throws(ImageReadError) in try reader.read(at: offset, count: count) }
  }

  /// The bytes at an offset: fewer than asked for, perhaps none, where the image ends or cannot be read.
  func bytes(at offset: UInt64, count: Int) -> Bytes {
    guard offset < byteCount, count > 0 else { return Bytes([]) }
    let count = min(count, Self.largestRead, Int(clamping: byteCount - offset))
    do throws(ImageReadError) {
      // A reader that gives more than it was asked for is not believed.
      return Bytes(Array(try fetch(offset, count).prefix(count)))
    } catch {
      warn("the image cannot be read at byte \(offset): \(error)")
      return Bytes([])
    }
  }

  /// Takes note of something that is wrong, once.
  func warn(_ text: String) {
    let text = visible(text)
    guard warnings.count < DiskLayout.warningLimit, !warnings.contains(text) else { return }
    warnings.append(
      warnings.count == DiskLayout.warningLimit - 1 ? "and more that is not listed" : text)
  }
}
