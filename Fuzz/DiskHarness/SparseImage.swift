// SPDX-License-Identifier: Apache-2.0
//
// SparseImage: an image in memory that is zero where nothing was written, of any size. It checks each
// request that a layout is read with.

public import DiskLayout
import Synchronization

/// An image in memory.
public struct SparseImage: Sendable {
  /// Its size in bytes.
  public var byteCount: UInt64
  private var pages: [UInt64: [UInt8]] = [:]
  private static let pageSize: UInt64 = 4096
  private static let zeros = [UInt8](repeating: 0, count: 4096)

  /// An image of zeros.
  public init(byteCount: UInt64) { self.byteCount = byteCount }

  /// An image of these bytes.
  public init(_ bytes: [UInt8]) {
    self.init(byteCount: UInt64(bytes.count))
    write(bytes, at: 0)
  }

  /// Writes bytes; those past the end are dropped.
  public mutating func write(_ bytes: some Sequence<UInt8>, at offset: UInt64) {
    var position = offset
    for byte in bytes {
      guard position < byteCount else { return }
      let page = position / Self.pageSize
      let place = Int(position % Self.pageSize)
      pages[page, default: Self.zeros][place] = byte
      position += 1
    }
  }

  /// Writes a little-endian number.
  public mutating func write<Number: FixedWidthInteger>(_ number: Number, at offset: UInt64) {
    let bytes = (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    write(bytes, at: offset)
  }

  /// The bytes in a range, those past the end left out.
  public func bytes(at offset: UInt64, count: Int) -> [UInt8] {
    guard offset < byteCount else { return [] }
    let end = offset + min(UInt64(count), byteCount - offset)
    var bytes: [UInt8] = []
    var position = offset
    while position < end {
      let place = position % Self.pageSize
      let length = min(Self.pageSize - place, end - position)
      let page = pages[position / Self.pageSize] ?? Self.zeros
      bytes += page[Int(place)..<Int(place + length)]
      position += length
    }
    return bytes
  }

  /// The offsets of what was written, roughly: of the pages that hold it.
  public var writtenPages: [UInt64] { pages.keys.sorted().map { $0 * Self.pageSize } }
}

/// A reader of an image that traps where it is asked for what it must not be asked for, and counts.
public final class CheckedReader: ImageReader, Sendable {
  private let image: SparseImage
  private let read = Mutex<(requests: Int, bytes: UInt64)>((0, 0))

  /// Reads an image.
  public init(_ image: SparseImage) { self.image = image }

  /// The image's size in bytes.
  public var byteCount: UInt64 { image.byteCount }

  /// How many requests there were.
  public var requestCount: Int { read.withLock { $0.requests } }

  /// How many bytes they were for.
  public var readByteCount: UInt64 { read.withLock { $0.bytes } }

  /// Reads bytes of the image.
  public func read(at offset: UInt64, count: Int) throws(ImageReadError) -> [UInt8] {
    precondition((1...65536).contains(count), "a request for \(count) bytes")
    precondition(
      offset < byteCount && UInt64(count) <= byteCount - offset, "a request outside the image")
    read.withLock { $0 = ($0.requests + 1, $0.bytes + UInt64(count)) }
    return image.bytes(at: offset, count: count)
  }
}
