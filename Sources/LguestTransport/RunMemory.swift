// SPDX-License-Identifier: Apache-2.0
//
// RunMemory: the memory of one run of a guest: its RAM, the device page and the rings, in one mapping
// with nothing mapped before and behind. Guest-physical addresses are offsets in it. The fence file
// of this module.
//
// The host module maps these very pages into the guest, so the guest changes them at any time. What is
// read here is copied once and used from the copy.

import Backends
import Linux
import VirtioRing

/// A guest's memory.
final class RunMemory: Sendable {
  private let mapping: SharedMapping
  /// Where the memory has a name: open, so that others find it in /proc/PID/fd.
  private let file: FileDescriptor?
  /// All of it, for rings and devices.
  let guest: GuestMemory
  /// RAM, device page and rings, in bytes.
  let byteCount: UInt64

  /// Makes memory of zeros.
  ///
  /// - Parameters:
  ///   - byteCount: whole pages, not 0.
  ///   - name: makes it a memory file of that name, which others can map; nil for private memory.
  init(byteCount: UInt64, name: String?) throws(LguestError) {
    do {
      let file = try name.map { name throws(Errno) in try Self.file(byteCount, name: name) }
      let memory = try Self.map(byteCount, file)
      // A guest touches most of what it has, and a page fault for each 4 KiB is time of its devices, too.
      memory.adviseHugePages()
      let mapping = SharedMapping(memory)
      self.mapping = mapping
      self.file = file
      self.byteCount = byteCount
      guest = try GuestMemory([MappedGuestRegion(mapping, guestAddress: 0)])
    } catch let error as Errno {
      throw .host(action: "get \(byteCount >> 20) MiB of memory for the guest", reason: error)
    } catch {
      throw .tooMuchMemory(memory: byteCount)
    }
  }

  private static func file(_ byteCount: UInt64, name: String) throws(Errno) -> FileDescriptor {
    let file = try Memfd.create(name: name, size: byteCount)
    try file.addSeals([.shrink, .grow])
    return file
  }

  private static func map(
    _ byteCount: UInt64, _ file: borrowing FileDescriptor?
  ) throws(Errno) -> MemoryMapping {
    guard let length = Int(exactly: byteCount) else { throw .invalidArgument }
    switch file {
    case .none: return try MemoryMapping(anonymous: length, guardPages: true)
    case .some(let file): return try MemoryMapping(file, length: length, guardPages: true)
    }
  }

  /// Where guest-physical address 0 is in this process.
  var base: UInt { mapping.address }

  /// Copies bytes out.
  ///
  /// - Returns: nil where any of them lies outside.
  func read(at address: UInt64, count: Int) -> [UInt8]? {
    guard let source = guest.hostAddress(of: address, byteCount: UInt64(count)) else { return nil }
    // SAFETY: the range was found inside the mapping, which lives as long as this object.
    return unsafe Array(
      UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: source), count: count))
  }

  /// Copies bytes in. - Returns: false where any of them would lie outside.
  @discardableResult
  func write(_ bytes: [UInt8], at address: UInt64) -> Bool {
    guard let target = guest.hostAddress(of: address, byteCount: UInt64(bytes.count)) else {
      return false
    }
    // SAFETY: the range was found inside the mapping, which lives as long as this object.
    unsafe UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(bitPattern: target), count: bytes.count
    ).copyBytes(from: bytes)
    return true
  }

  /// Makes bytes zero. - Precondition: they lie inside.
  func zero(at address: UInt64, count: UInt64) {
    write([UInt8](repeating: 0, count: Int(count)), at: address)
  }

  /// Reads bytes of a file straight into their place.
  ///
  /// - Returns: false where the file or the memory ends before.
  func load(
    _ file: borrowing FileDescriptor, from offset: UInt64, count: UInt64, at address: UInt64
  ) throws(Errno) -> Bool {
    guard let target = guest.hostAddress(of: address, byteCount: count) else { return false }
    var done: UInt64 = 0
    while done < count {
      // SAFETY: the range was found inside the mapping, which lives as long as this object; the guest does
      // not run yet, so nobody else writes there.
      let place = unsafe UnsafeMutableBufferPointer(
        start: UnsafeMutablePointer<UInt8>(bitPattern: target + UInt(done)),
        count: Int(count - done))
      var span = unsafe MutableSpan(_unsafeElements: place)
      let got = try file.read(into: &span, at: offset + done)
      guard got > 0 else { return false }
      done += UInt64(got)
    }
    return true
  }
}
