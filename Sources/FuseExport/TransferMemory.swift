// SPDX-License-Identifier: Apache-2.0
//
// TransferMemory: what moves bytes between an image and a request, and the memory that they pass through.
//
// A thread has one buffer for the requests that come, and one for what it reads, each as large as the largest.

import Backends
import Glibc
import Linux

/// What a thread's requests are read into.
///
/// What is to be written comes behind two headers (struct fuse_in_header and fuse_write_in). The memory begins
/// so that it starts on a page: the kernel copies it page by page in and out then, not in two pieces each.
@safe
struct RequestBuffer: ~Copyable, Sendable {
  /// How long the headers before a write's bytes are.
  static let headerSize = 40 + 40
  private static let pageSize = 4096
  /// How many bytes fit.
  static let byteCount = headerSize + ThreadBuffer.byteCount + pageSize

  private let mapping: MemoryMapping

  /// - Throws: `.noMemory`.
  init() throws(Errno) {
    mapping = try MemoryMapping(anonymous: Self.pageSize + ThreadBuffer.byteCount + Self.pageSize)
  }

  /// Where requests begin. Valid as long as this value lives.
  @unsafe var base: UnsafeMutableRawPointer {
    // SAFETY: what begins there and is `byteCount` long ends where the mapping does.
    unsafe mapping.base + (Self.pageSize - Self.headerSize)
  }

  /// Where a write's bytes begin.
  var payloadAddress: UInt { mapping.address + UInt(Self.pageSize) }

  /// The number of the request that was received last (struct fuse_in_header).
  var unique: UInt64 {
    // SAFETY: so many bytes are mapped there, and nobody else has them.
    unsafe base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
  }

  /// Takes the next request from the kernel.
  ///
  /// - Parameter descriptor: the connection's.
  /// - Returns: how long it is.
  /// - Throws: `.noSuchDevice` when it was unmounted, `.interrupted` when the thread was nudged, `.notFound` for
  ///   a request that its caller has given up.
  mutating func receive(from descriptor: Int32) throws(Errno) -> Int {
    // SAFETY: so many bytes are mapped there, and nobody else has them.
    try systemCall(retryOnInterrupt: false) {
      unsafe read(descriptor, base, Self.byteCount)
    }
  }
}

/// The calling thread's buffer for what it reads.
enum ThreadBuffer {
  /// As many bytes as the kernel asks for at once.
  static let byteCount = 1 << 20

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    // SAFETY: the call fills a local. The destructor gets what the thread stored, which is a mapping of that
    // length, and runs when the thread ends: nobody else has it.
    unsafe pthread_key_create(&key) { memory in
      unsafe munmap(memory, ThreadBuffer.byteCount)
    }
    return key
  }()

  /// The buffer. It is the calling thread's until that ends.
  static var current: UnsafeMutableRawBufferPointer? {
    // SAFETY: the key's values are stored below only: mappings of that length.
    if let known = unsafe pthread_getspecific(key) {
      return unsafe UnsafeMutableRawBufferPointer(start: known, count: byteCount)
    }
    let flags = MAP_PRIVATE | MAP_ANONYMOUS
    // SAFETY: fresh memory of the kernel's choice.
    guard let fresh = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0),
      unsafe fresh != MAP_FAILED
    else { return nil }
    unsafe pthread_setspecific(key, fresh)
    return unsafe UnsafeMutableRawBufferPointer(start: fresh, count: byteCount)
  }
}

// SAFETY (all): the memory is the caller's, valid during the call; pieces of it are cut by its own count.
extension OpenFile {
  /// Reads into memory.
  ///
  /// - Parameter patience: how long it waits for a moment without a guest's write, in nanoseconds.
  /// - Returns: how many bytes, fewer than fit only at the end.
  func read(
    into memory: UnsafeMutableRawBufferPointer, at offset: UInt64,
    patience: UInt64 = 2_000_000_000
  ) throws(Errno) -> Int {
    guard let image else { return 0 }
    // The whole disk ends where the image does, however long it has become meanwhile.
    let span = isWholeDisk ? ImageSpan(start: 0, count: UInt64(Int64.max)) : span
    guard let piece = span.piece(at: offset, UInt64(memory.count)) else { return 0 }
    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<Int(piece.count)])
    guard image.view.isLive else {
      return try unsafe Self.read(into: rest, image.view.file.raw, piece.position)
    }
    return try unsafe readWhole(into: rest, image.view, piece.position, patience)
  }

  private static var blockSize: Int { 4096 }

  /// Reads what a guest may write to meanwhile, so that no sector is half written: where a write went on, block
  /// by block, and again until none did.
  private func readWhole(
    into memory: UnsafeMutableRawBufferPointer, _ view: DiskView, _ position: UInt64,
    _ patience: UInt64
  ) throws(Errno) -> Int {
    if let before = view.look(at: position, memory.count) {
      let count = try unsafe Self.read(into: memory, view.file.raw, position)
      if view.look(at: position, memory.count) == before { return count }
    }
    var done = 0
    while done < memory.count {
      let place = position + UInt64(done)
      let inBlock = Self.blockSize - Int(place % UInt64(Self.blockSize))
      let piece = unsafe UnsafeMutableRawBufferPointer(
        rebasing: memory[done..<min(memory.count, done + inBlock)])
      let got = try unsafe readBlock(into: piece, view, place, patience)
      done += got
      if got < piece.count { break }
    }
    return done
  }

  private func readBlock(
    into memory: UnsafeMutableRawBufferPointer, _ view: DiskView, _ position: UInt64,
    _ patience: UInt64
  ) throws(Errno) -> Int {
    let begin = MonotonicClock.nanoseconds
    while true {
      if let before = view.look(at: position, memory.count) {
        let count = try unsafe Self.read(into: memory, view.file.raw, position)
        if view.look(at: position, memory.count) == before { return count }
      }
      // A guest that writes the same block all the time, or storage that hangs.
      guard MonotonicClock.nanoseconds - begin < patience else { throw .io }
      sched_yield()
    }
  }

  private static func read(
    into memory: UnsafeMutableRawBufferPointer, _ descriptor: Int32, _ position: UInt64
  ) throws(Errno) -> Int {
    let count = memory.count
    var done = 0
    while done < count {
      // SAFETY: at most the rest of the caller's memory is written, during the call; the image's file is
      // open as long as this object.
      let got = try systemCall(retryOnInterrupt: true) {
        unsafe pread(
          descriptor, memory.baseAddress.map { unsafe $0 + done }, count - done,
          Int(position) + done)
      }
      guard got > 0 else { break }
      done += got
    }
    return done
  }

  /// Writes from memory.
  ///
  /// - Returns: how many bytes, at least one; fewer than asked for where the file ends.
  func write(_ memory: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
    let image = try writable()
    let isOpenEnded = isWholeDisk && image.isGrowable
    let span = isOpenEnded ? ImageSpan(start: 0, count: UInt64(Int64.max)) : span
    // As a disk says it that is written behind its end.
    guard let piece = span.piece(at: offset, UInt64(memory.count)) else { throw .noSpace }
    if !isOpenEnded { try image.checkHolds(piece) }
    let descriptor = image.view.file.raw
    let count = Int(piece.count)
    var done = 0
    while done < count {
      do throws(Errno) {
        // SAFETY: at most the rest of the caller's memory is read, during the call; the image's file is open
        // as long as this object.
        done += try systemCall(retryOnInterrupt: true) {
          unsafe pwrite(
            descriptor, memory.baseAddress.map { unsafe $0 + done }, count - done,
            Int(piece.position) + done)
        }
      } catch {
        guard done > 0 else { throw error }
        break
      }
    }
    if isOpenEnded { image.noteEnd(offset + UInt64(done)) }
    return done
  }
}
