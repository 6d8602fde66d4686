// SPDX-License-Identifier: Apache-2.0
//
// ImageSpan: the bytes of an image that a file shows, and the arithmetic that keeps requests inside.
//
// A caller's offsets and lengths are any numbers; what comes out of here lies in the span.

/// A range of an image's bytes.
struct ImageSpan: Hashable, Sendable {
  /// Where it begins in the image.
  var start: UInt64
  var count: UInt64

  /// A piece of the image: where, and how long.
  struct Piece: Equatable {
    var position: UInt64
    var count: UInt64
  }

  /// What of a request lies in the span; nil where nothing does.
  func piece(at offset: UInt64, _ length: UInt64) -> Piece? {
    guard length > 0, offset < count else { return nil }
    // No overflow: the span ends within an image, and its offset is smaller than its count.
    return Piece(position: start + offset, count: min(length, count - offset))
  }

  /// The same for a request that must lie in it as a whole.
  func wholePiece(at offset: UInt64, _ length: UInt64) -> Piece? {
    guard let piece = piece(at: offset, length), piece.count == length else { return nil }
    return piece
  }
}
