// SPDX-License-Identifier: Apache-2.0
//
// OpenFile: what an open of a file or directory has. Requests on it go to what the name stood for when it was
// opened: where a partition moves meanwhile, who opens it anew sees that.

import Backends
import Linux
import Synchronization

/// An open file or directory of an export.
final class OpenFile: Sendable {
  let node: ExportNode
  /// The disk; nil for a text or a list.
  let image: ExportImage?
  /// A partition's place; the whole disk's is as large as the disk.
  private let fixedSpan: ImageSpan
  let isWholeDisk: Bool
  /// What info.json said when it was opened.
  let text: [UInt8]
  /// What the directory listed.
  let entries: [ExportTree.Entry]
  private let seenSyncFailures: Atomic<Int>

  /// Opens a disk or partition.
  init(_ node: ExportNode, _ image: ExportImage, _ span: ImageSpan) {
    self.node = node
    self.image = image
    fixedSpan = span
    isWholeDisk = if case .disk = node { true } else { false }
    text = []
    entries = []
    seenSyncFailures = Atomic(image.syncFailureCount)
  }

  /// Opens something that has its content with it.
  init(_ node: ExportNode, text: [UInt8] = [], entries: [ExportTree.Entry] = []) {
    self.node = node
    image = nil
    fixedSpan = ImageSpan(start: 0, count: 0)
    isWholeDisk = false
    self.text = text
    self.entries = entries
    seenSyncFailures = Atomic(0)
  }

  /// The bytes of the image that this file shows.
  var span: ImageSpan {
    guard isWholeDisk, let image else { return fixedSpan }
    return ImageSpan(start: 0, count: image.lastByteCount)
  }

  /// The image's open file, for a request that writes.
  func writable() throws(Errno) -> ExportImage {
    guard let image, image.view.isWritable else { throw .badFileDescriptor }
    return image
  }

  /// The host failed a transfer, or had no room.
  func note(_ what: String, _ error: Errno, _ count: Int, _ offset: UInt64) {
    // A write behind the end is its caller's affair.
    guard let image, error != .noSpace || span.piece(at: offset, 1) != nil else { return }
    let place = span.start + offset
    image.trouble.report(
      "\(image.view.path): \(what) of \(count) bytes at \(place): \(error)")
  }

  // MARK: Requests without data

  /// Makes durable what was written to the image, through whichever file.
  ///
  /// The kernel tells a failed write-back once to each open file, and all handles here share one. So each
  /// handle that was open then is told once.
  func sync() throws(Errno) {
    guard let image, image.view.isWritable else { return }
    var failure: Errno?
    do throws(Errno) { try image.view.file.sync() } catch {
      failure = error
      image.noteSyncFailure(error)
    }
    let count = image.syncFailureCount
    if seenSyncFailures.exchange(count, ordering: .relaxed) != count { throw failure ?? .io }
  }

  /// Changes how a range is allocated; the size stays, but where a disk may grow.
  ///
  /// - Parameter keepingSize: whether a file that could grow would not.
  func allocate(
    _ what: FileDescriptor.Allocation, at offset: UInt64, count: UInt64, keepingSize: Bool
  ) throws(Errno) {
    let image = try writable()
    if what == .extend || what == .reserve, image.isGrowable, isWholeDisk {
      try image.view.file.allocate(what, at: offset, count: count)
      image.refreshSize()
      return
    }
    guard count > 0 else { throw .invalidArgument }
    if what == .zero, !keepingSize, image.isGrowable, isWholeDisk {
      try image.view.file.allocate(.zero, at: offset, count: count)
      // There is space now; this is about the size alone.
      try image.view.file.allocate(.extend, at: offset, count: count)
      image.refreshSize()
      return
    }
    guard let piece = span.piece(at: offset, count) else { throw .noSpace }
    let isSpace = what == .extend || what == .reserve
    // Space behind the end cannot be had; zeros there are not missed, but by who wants the file to have them.
    guard piece.count == count || !isSpace && keepingSize else { throw .noSpace }
    try image.view.file.allocate(
      isSpace ? .reserve : what, at: piece.position, count: piece.count)
  }

  /// The next data or hole at or behind an offset (lseek(2)).
  ///
  /// - Throws: `.noSuchDeviceOrAddress` at and behind the end, and where only a hole follows.
  func seek(data wantsData: Bool, from offset: UInt64) throws(Errno) -> UInt64 {
    guard let image else {
      guard offset < UInt64(text.count) else { throw .noSuchDeviceOrAddress }
      return wantsData ? offset : UInt64(text.count)
    }
    if isWholeDisk { image.refreshSize() }
    let span = span
    guard offset < span.count else { throw .noSuchDeviceOrAddress }
    let found: UInt64?
    do throws(Errno) {
      let from = span.start + offset
      found =
        wantsData
        ? try image.view.file.seekData(from: from) : try image.view.file.seekHole(from: from)
    } catch .invalidArgument {
      // Block devices have no holes that they would tell of.
      return wantsData ? offset : span.count
    }
    // Behind the end of an image that has shrunk there is neither.
    guard let found, found >= span.start else { throw .noSuchDeviceOrAddress }
    let place = found - span.start
    guard wantsData else { return min(place, span.count) }
    guard place < span.count else { throw .noSuchDeviceOrAddress }
    return place
  }

  /// Copies within the kernel where it can (copy_file_range(2)).
  ///
  /// - Returns: how many bytes, fewer than asked for near an end.
  func copy(
    from offset: UInt64, to target: OpenFile, at targetOffset: UInt64, count: UInt64
  ) throws(Errno) -> Int {
    guard let image else { throw .invalidArgument }
    let targetImage = try target.writable()
    guard let piece = span.piece(at: offset, count) else { return 0 }
    if target.isWholeDisk, targetImage.isGrowable {
      let copied = try image.view.file.copyRange(
        from: piece.position, to: targetImage.view.file, at: targetOffset, count: piece.count)
      targetImage.refreshSize()
      return copied
    }
    guard let place = target.span.piece(at: targetOffset, piece.count) else { throw .noSpace }
    try targetImage.checkHolds(place)
    do throws(Errno) {
      return try image.view.file.copyRange(
        from: piece.position, to: targetImage.view.file, at: place.position, count: place.count)
    } catch .invalidArgument where image.view.isBlockDevice || targetImage.view.isBlockDevice {
      // Block devices cannot do it. The caller's kernel reads and writes then.
      throw .notSupported
    }
  }
}
