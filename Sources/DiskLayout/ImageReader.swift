// SPDX-License-Identifier: Apache-2.0
//
// ImageReader: how a layout is read from whatever holds an image: a file, a running disk, an array.

/// Something that has the bytes of a disk image.
///
/// A layout is read with requests of at most 64 KiB that lie inside the image as it was when reading
/// began; what is in the image decides nothing else about them.
public protocol ImageReader {
  /// The image's size in bytes. It is asked for once, when reading begins.
  var byteCount: UInt64 { get }

  /// Reads bytes of the image.
  ///
  /// - Parameters:
  ///   - offset: where they begin, in bytes from the image's start.
  ///   - count: how many, 1 to 65536; the last lies below ``byteCount``.
  /// - Returns: the bytes; fewer of them where the image has become shorter meanwhile.
  /// - Throws: ``ImageReadError`` where the storage fails. The layout then has a warning, and what would
  ///   have been there is not found.
  func read(at offset: UInt64, count: Int) throws(ImageReadError) -> [UInt8]
}

/// The storage of an image could not be read.
public struct ImageReadError: Error, Equatable, CustomStringConvertible, Sendable {
  /// Why, for the layout's warning: an errno's text, such as "Input/output error".
  public let description: String

  /// An error with its reason.
  public init(_ reason: String) { description = reason }
}
