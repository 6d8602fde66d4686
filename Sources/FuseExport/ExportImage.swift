// SPDX-License-Identifier: Apache-2.0
//
// ExportImage: a disk that is shown, with what is known of its content.
//
// The partition table and the superblocks are read when the export begins, and again when somebody looks up
// a name or lists a directory and the image has changed since; at most once a second, as a guest may write all
// the time, and by one thread, while the others go on with what is known: storage may hang. What of a partition is
// allocated is counted extent by extent, so of a running guest's disk it is counted once a second at most, too.

import Backends
import DiskLayout
import Linux
import Synchronization

/// A disk that is shown.
final class ExportImage: Sendable {
  /// The name of its directory, where there are several.
  let name: String
  let view: DiskView
  /// Whether it may become longer and shorter.
  let isGrowable: Bool
  let trouble: TroubleReport
  /// How its tables are read: see `DiskLayout.read`.
  private let sectorSize: Int?
  private let usesLostGPT: Bool
  private let byteCount: Atomic<UInt64>
  /// The size when the image was last looked after.
  private let inspectedByteCount: Atomic<UInt64>
  private let content: Mutex<Content>
  private let allocated = Mutex<[ImageSpan: Allocated]>([:])
  private let syncFailures = Atomic<Int>(0)
  private let isRemoved = Atomic<Bool>(false)

  /// What was found on it, and when.
  private struct Content {
    var layout: DiskLayout
    var information: [UInt8]
    var stamp: Stamp
    var lookedAt: UInt64
    /// Whether a thread looks.
    var isLooking = false
  }

  /// How much of a span was allocated, and when.
  private struct Allocated {
    var byteCount: UInt64
    var modified: FileTime
    var countedAt: UInt64
  }

  /// What changes with the image's content.
  private struct Stamp: Equatable {
    var byteCount: UInt64
    var modified: FileTime
  }

  private static let interval: UInt64 = 1_000_000_000  // ns

  init(
    _ view: DiskView, name: String, _ options: ExportOptions, trouble: TroubleReport
  ) throws(ExportError) {
    self.view = view
    self.name = name
    sectorSize = options.sectorSize ?? view.sectorSize
    usesLostGPT = options.usesLostGPT
    isGrowable = options.isGrowable && view.isWritable && !view.isBlockDevice
    self.trouble = trouble
    do throws(Errno) {
      let size = try view.readByteCount()
      byteCount = Atomic(size)
      inspectedByteCount = Atomic(size)
      content = Mutex(
        try Self.look(
          at: view, size, MonotonicClock.nanoseconds, sectorSize: sectorSize,
          usesLostGPT: usesLostGPT))
    } catch {
      throw ExportError("cannot export image \(view.path): \(error)")
    }
  }

  private static func look(
    at view: DiskView, _ size: UInt64, _ now: UInt64, sectorSize: Int?, usesLostGPT: Bool
  ) throws(Errno) -> Content {
    let stamp = Stamp(byteCount: size, modified: try view.file.status().modified)
    let layout = DiskLayout.read(
      from: ViewReader(view: view, byteCount: size), sectorSize: sectorSize,
      usesLostGPT: usesLostGPT)
    return Content(
      layout: layout, information: Array(layout.json.text.utf8), stamp: stamp, lookedAt: now)
  }

  /// What is on the disk now.
  var layout: DiskLayout { current { $0.layout } }

  /// The text of info.json now.
  var information: [UInt8] { current { $0.information } }

  private func current<Value: Sendable>(_ body: (Content) -> Value) -> Value {
    renew(refreshSize())
    return content.withLock { body($0) }
  }

  private func renew(_ size: UInt64) {
    let now = MonotonicClock.nanoseconds
    let old: Stamp? = content.withLock { content in
      guard !content.isLooking, now &- content.lookedAt > Self.interval else { return nil }
      content.isLooking = true
      content.lookedAt = now
      return content.stamp
    }
    guard let old else { return }
    var new: Content?
    if let status = try? view.file.status(),
      old != Stamp(byteCount: size, modified: status.modified)
    {
      new = try? Self.look(at: view, size, now, sectorSize: sectorSize, usesLostGPT: usesLostGPT)
    }
    content.withLock { [new] content in
      if let new { content = new }
      content.isLooking = false
    }
  }

  // MARK: Size

  /// The size in bytes, as it was last seen.
  var lastByteCount: UInt64 {
    @inline(__always) get { byteCount.load(ordering: .relaxed) }
  }

  /// Looks at the size. - Returns: it, in bytes; the last one where it cannot be seen.
  @discardableResult
  func refreshSize() -> UInt64 {
    guard let size = try? view.readByteCount() else { return lastByteCount }
    byteCount.store(size, ordering: .relaxed)
    return size
  }

  /// Looks whether the image still has a piece that is to be written: one that somebody has cut off would
  /// become longer by it.
  ///
  /// - Throws: `.io` where it has not.
  @inline(__always)
  func checkHolds(_ piece: ImageSpan.Piece) throws(Errno) {
    // No overflow: a piece lies in a span, whose end is a number of bytes.
    guard piece.position + piece.count <= refreshSize() else { throw .io }
  }

  /// Sets the size of a growable image.
  func resize(to size: UInt64) throws(Errno) {
    guard isGrowable else { throw .permission }
    try view.file.truncate(to: size)
    byteCount.store(size, ordering: .relaxed)
  }

  /// A write has made a growable image longer.
  func noteEnd(_ end: UInt64) {
    guard isGrowable, end > lastByteCount else { return }
    _ = byteCount.max(end, ordering: .relaxed)
  }

  // MARK: Durability

  /// How often a sync has failed.
  var syncFailureCount: Int { syncFailures.load(ordering: .relaxed) }

  /// A sync has failed.
  func noteSyncFailure(_ error: Errno) {
    syncFailures.wrappingAdd(1, ordering: .relaxed)
    trouble.report("\(view.path): what was written cannot be made durable: \(error)")
  }

  // MARK: What is allocated

  /// How many extents of a partition are counted. Behind those all counts as allocated.
  private static let extentLimit = 4096
  /// Of how many spans it is remembered what is allocated.
  private static let spanLimit = 1024

  /// How many bytes of a span are allocated.
  func allocatedByteCount(_ span: ImageSpan) -> UInt64 {
    guard let status = try? view.file.status() else { return span.count }
    if view.isBlockDevice { return span.count }
    if span.start == 0, span.count >= status.size { return status.allocatedSize }
    let now = MonotonicClock.nanoseconds
    if let known = allocated.withLock({ $0[span] }) {
      if known.modified == status.modified { return known.byteCount }
      if view.isLive, now &- known.countedAt < Self.interval { return known.byteCount }
    }
    let count = countAllocated(span)
    allocated.withLock { allocated in
      // A guest may change its partitions all the time.
      if allocated.count >= Self.spanLimit { allocated.removeAll() }
      allocated[span] = Allocated(
        byteCount: count, modified: status.modified, countedAt: now)
    }
    return count
  }

  private func countAllocated(_ span: ImageSpan) -> UInt64 {
    var count: UInt64 = 0
    let end = span.start + span.count
    var position = span.start
    for _ in 0..<Self.extentLimit {
      do throws(Errno) {
        guard position < end, let data = try view.file.seekData(from: position), data < end
        else { return count }
        let hole = min(end, try view.file.seekHole(from: data) ?? end)
        guard hole > data else { return count }
        count += hole - data
        position = hole
      } catch {
        return span.count
      }
    }
    return count + (end - position)
  }

  // MARK: Looking after it

  /// Looks from time to time whether the image is still whole, and says once where it is not.
  func inspect() {
    let size = refreshSize()
    // Not the last size that was seen: a request may have seen the new one already.
    let before = inspectedByteCount.exchange(size, ordering: .relaxed)
    guard let status = try? view.file.status() else { return }
    // Of a running guest's disk the disk itself tells it.
    if size < before, !isGrowable, !view.isLive {
      trouble.report(
        "\(view.path): the image has shrunk from \(before) to \(size) bytes while it is exported;"
          + " what was behind cannot be read")
    }
    if status.linkCount == 0, !isRemoved.exchange(true, ordering: .relaxed) {
      trouble.separate().report(
        "\(view.path): the image was removed while it is exported; its content goes when the export"
          + " ends")
    }
  }
}

/// Reads an image for its layout.
private struct ViewReader: ImageReader {
  let view: DiskView
  let byteCount: UInt64

  func read(at offset: UInt64, count: Int) throws(ImageReadError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      var rest = [UInt8](repeating: 0, count: count - done)
      do throws(Errno) {
        let got = try view.file.read(into: &rest, at: offset + UInt64(done))
        guard got > 0 else { break }
        bytes.replaceSubrange(done..<done + got, with: rest[..<got])
        done += got
      } catch {
        throw ImageReadError(error.description)
      }
    }
    bytes.removeSubrange(done...)
    return bytes
  }
}
