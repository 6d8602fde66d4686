// SPDX-License-Identifier: Apache-2.0
//
// CounterMemory: the memory that counters are in: a block of a process's own, or a part of a mapped file. A fence
// file, as GuestIO.swift is.
//
// Words are relaxed atomics, since somebody may read them at any time. One thread at a time writes a
// word, so a counter is loaded, added to and stored, which costs what a plain variable costs. What was loaded
// is never trusted: sums wrap.

import Linux
import Synchronization

/// Words of counters. Whoever makes one sees to its size, and whoever uses one is held to it.
@safe
final class CounterWords: @unchecked Sendable {
  // Sendable because each word is read and written as an atomic.
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int
  /// Keeps a mapping alive; nil where the memory is this object's own.
  private let owner: SharedMapping?

  /// Makes words of the process's own, all zero.
  init(byteCount: Int) {
    self.byteCount = byteCount
    owner = nil
    // SAFETY: a fresh block, of which all is initialised; deinit frees it.
    unsafe base = .allocate(byteCount: byteCount, alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }

  /// - Precondition: the range lies in the mapping, and begins at a multiple of 8.
  init(_ mapping: SharedMapping, _ range: Range<Int>) {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= mapping.length && range.lowerBound % 8 == 0)
    byteCount = range.count
    owner = mapping
    // SAFETY: within the mapping, which `owner` keeps.
    unsafe base = mapping.base + range.lowerBound
  }

  deinit {
    // SAFETY: from init; nobody else has it.
    if owner == nil { unsafe base.deallocate() }
  }

  // SAFETY (all accessors): the offset is compared with the size, and every word begins at a multiple of 8, as
  // the base does.

  private func check(_ offset: Int) {
    precondition(offset >= 0 && offset <= byteCount &- 8 && offset & 7 == 0)
  }

  func load(_ offset: Int) -> UInt64 {
    check(offset)
    return unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .load(ordering: .relaxed)
  }

  func store(_ value: UInt64, _ offset: Int) {
    check(offset)
    unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .store(value, ordering: .relaxed)
  }

  /// Stores a word after all that was stored before.
  func storeReleasing(_ value: UInt64, _ offset: Int) {
    check(offset)
    unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .store(value, ordering: .releasing)
  }

  /// Where the words begin. Valid while this object lives. - Precondition: there are so many bytes.
  @unsafe
  fileprivate func start(byteCount: Int) -> UnsafeMutableRawPointer {
    precondition(byteCount <= self.byteCount)
    return unsafe base
  }
}

/// The words of a slot as its worker has them: of a size that is known when this is compiled, so that the checks of
/// most offsets are done then as well.
@safe
struct SlotWords: ~Copyable, @unchecked Sendable {
  // Sendable because each word is read and written as an atomic.
  private let base: UnsafeMutableRawPointer
  private let owner: CounterWords

  /// - Precondition: there is room for a slot.
  init(_ words: CounterWords) {
    owner = words
    // SAFETY: of at least this size, and `owner` keeps it.
    unsafe base = words.start(byteCount: StatisticsFormat.slotSize)
  }

  // SAFETY (all accessors): the offset is compared with the size, and every word begins at a multiple of 8, as
  // the base does.

  @inline(__always)
  private func check(_ offset: Int) {
    precondition(offset >= 0 && offset <= StatisticsFormat.slotSize &- 8 && offset & 7 == 0)
  }

  @inline(__always)
  func load(_ offset: Int) -> UInt64 {
    check(offset)
    return unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .load(ordering: .relaxed)
  }

  @inline(__always)
  func store(_ value: UInt64, _ offset: Int) {
    check(offset)
    unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .store(value, ordering: .relaxed)
  }

  /// Adds to a word that only this thread writes.
  @inline(__always)
  func add(_ value: UInt64, _ offset: Int) { store(load(offset) &+ value, offset) }
}

extension CounterWords {
  /// Stores text, cut where it is too long, and zeros behind it. - Precondition: whole words.
  func store(_ text: String, _ range: Range<Int>) {
    var bytes = Array(text.utf8.prefix(range.count))
    bytes += [UInt8](repeating: 0, count: range.count - bytes.count)
    for start in stride(from: 0, to: range.count, by: 8) {
      var word: UInt64 = 0
      for index in (0..<8).reversed() { word = word << 8 | UInt64(bytes[start + index]) }
      store(word, range.lowerBound + start)
    }
  }

  /// All words, as they are now.
  var words: [UInt64] {
    stride(from: 0, to: byteCount, by: 8).map { load($0) }
  }
}
