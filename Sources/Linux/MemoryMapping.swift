// SPDX-License-Identifier: Apache-2.0
//
// A piece of address space with one owner. SharedMapping shares one and contains its faults.

import CLinux
import Glibc

/// What may be done with mapped memory (mmap(2)).
public struct MemoryProtection: OptionSet, Sendable, Hashable {
  /// The bits, as for mmap(2).
  public let rawValue: Int32

  /// Makes a set from its bits.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// It can be read (PROT_READ).
  public static let read = MemoryProtection(rawValue: PROT_READ)
  /// It can be written (PROT_WRITE).
  public static let write = MemoryProtection(rawValue: PROT_WRITE)
  /// Both.
  public static let readWrite: MemoryProtection = [.read, .write]
}

/// Owns a range of mapped memory, and unmaps it when its owner lets it go.
@safe
public struct MemoryMapping: ~Copyable, Sendable {
  /// Where the mapped bytes start. An address is only a number: see `base` for reaching the bytes.
  public let address: UInt
  /// How many bytes were asked for.
  public let length: Int
  /// What may be done with them.
  public let protection: MemoryProtection
  /// How many are mapped: `length` rounded up to whole pages.
  let mappedLength: Int
  /// The size of the pages that it is made of, which is larger than usual on hugetlbfs.
  let pageSize: Int
  /// All the address space that this value owns: the mapping, and guard pages around it.
  private let reservation: (address: UInt, length: Int)

  /// Where the mapped bytes start. Valid while this value lives.
  @unsafe public var base: UnsafeMutableRawPointer {
    // SAFETY: only a number becomes a pointer; who follows it vouches that this value still lives.
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: address) else {
      preconditionFailure("nothing is mapped at address 0")
    }
    return unsafe base
  }

  /// Maps a file.
  ///
  /// - Parameters:
  ///   - file: what to map; the mapping does not need it later.
  ///   - offset: where in the file, a multiple of the page size.
  ///   - length: in bytes, not 0. Bytes behind the file's end raise SIGBUS when touched.
  ///   - protection: no more than the descriptor was opened for.
  ///   - shared: whether writes reach the file, and other mappings of it.
  ///   - guardPages: whether the pages before and behind are reserved, so that running over either
  ///     end is a fault and not another mapping.
  /// - Throws: `.invalidArgument` for a bad offset or length, `.accessDenied`, `.noMemory`,
  ///   `.noSuchDevice` when such a file cannot be mapped.
  public init(
    _ file: borrowing FileDescriptor, offset: UInt64 = 0, length: Int,
    protection: MemoryProtection = .readWrite, shared: Bool = true, guardPages: Bool = false
  ) throws(Errno) {
    let offset = try FileDescriptor.position(offset)
    try self.init(
      length, pageSize: try Self.pageSize(of: file), guardPages, protection,
      shared ? MAP_SHARED : MAP_PRIVATE, file.raw, offset)
  }

  /// Maps fresh memory of zeros.
  ///
  /// - Parameters:
  ///   - length: in bytes, not 0.
  ///   - protection: what may be done with it.
  ///   - shared: whether a child process shares it.
  ///   - guardPages: as for a file.
  public init(
    anonymous length: Int, protection: MemoryProtection = .readWrite, shared: Bool = false,
    guardPages: Bool = false
  ) throws(Errno) {
    try self.init(
      length, pageSize: Self.basePageSize, guardPages, protection,
      MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE), -1, 0)
  }

  private init(
    _ length: Int, pageSize: Int, _ guardPages: Bool, _ protection: MemoryProtection,
    _ flags: Int32, _ fd: Int32, _ offset: off_t
  ) throws(Errno) {
    // The largest length leaves room for rounding and what is kept free on both sides.
    guard length > 0, length <= Int.max - 3 * max(pageSize, Self.hugePageSize) else {
      throw .invalidArgument
    }
    let mappedLength = (length + pageSize - 1) / pageSize * pageSize
    let reservation: (address: UInt, length: Int)
    let address: UInt
    if guardPages {
      // Address space costs nothing, and what is large may begin where a large page does.
      let alignment = max(pageSize, mappedLength < Self.hugePageSize ? 0 : Self.hugePageSize)
      reservation = try reserve(mappedLength + 2 * alignment)
      // At least one small page stays free on each side, whatever the size of the pages here.
      address = (reservation.address / UInt(alignment) + 1) * UInt(alignment)
      do throws(Errno) {
        _ = try map(address, mappedLength, protection.rawValue, flags | MAP_FIXED, fd, offset)
      } catch {
        unmap(reservation.address, reservation.length)
        throw error
      }
    } else {
      address = try map(0, mappedLength, protection.rawValue, flags, fd, offset)
      reservation = (address, mappedLength)
    }
    self.address = address
    self.length = length
    self.protection = protection
    self.mappedLength = mappedLength
    self.pageSize = pageSize
    self.reservation = reservation
  }

  deinit {
    unmap(reservation.address, reservation.length)
  }

  /// Asks for pages of 2 MiB, where the kernel is told to give them to those who ask
  /// (/sys/kernel/mm/transparent_hugepage/enabled). Memory is then taken in such steps when it is touched.
  public borrowing func adviseHugePages() {
    // SAFETY: advice changes nothing of what the memory holds. A kernel without such pages refuses it.
    unsafe madvise(UnsafeMutableRawPointer(bitPattern: address), mappedLength, MADV_HUGEPAGE)
  }

  /// The size of large pages on x86-64.
  private static let hugePageSize = 2 << 20

  /// The size of ordinary pages.
  public static let basePageSize = sysconf(Int32(_SC_PAGESIZE))

  /// The size of the pages that a mapping of this file is made of.
  private static func pageSize(of file: borrowing FileDescriptor) throws(Errno) -> Int {
    var type = 0
    var blockSize = 0
    // SAFETY: the call fills two locals of the types that it wants.
    _ = try systemCall(retryOnInterrupt: true) {
      unsafe clinux_fstatfs(file.raw, &type, &blockSize)
    }
    let hugetlbfsMagic = 0x9584_58f6
    return type == hugetlbfsMagic ? blockSize : basePageSize
  }
}

private func map(
  _ address: UInt, _ length: Int, _ protection: Int32, _ flags: Int32, _ fd: Int32, _ offset: off_t
) throws(Errno) -> UInt {
  // SAFETY: the address is either 0, which leaves the choice to the kernel, or within a reservation
  // of the caller's, so MAP_FIXED replaces nothing else. MAP_FAILED is -1.
  let result = try systemCall(retryOnInterrupt: false) {
    unsafe Int(
      bitPattern: mmap(
        UnsafeMutableRawPointer(bitPattern: address), length, protection, flags, fd, offset))
  }
  return UInt(bitPattern: result)
}

/// Address space that nobody can touch.
private func reserve(_ length: Int) throws(Errno) -> (address: UInt, length: Int) {
  let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
  return (try map(0, length, PROT_NONE, flags, -1, 0), length)
}

private func unmap(_ address: UInt, _ length: Int) {
  // SAFETY: the caller owns the whole range, and nobody uses it any more.
  unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), length)
}
