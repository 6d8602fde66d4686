// SPDX-License-Identifier: Apache-2.0
//
// A mapping that many hold: guest memory, which a table, queues and requests in flight keep alive
// together. And the way out when the file behind it is cut off.
//
// Whoever gave us the file can truncate it at any time. Touching a page behind the new end raises
// SIGBUS, which by default ends the process and with it every other guest. So a mapping can be
// contained: its range is registered with a SIGBUS handler (CLinux/sigbus.c, with the reasons), which
// puts zero pages in its place, marks it poisoned, and lets the thread go on. Whoever uses the memory
// looks at `isPoisoned` from time to time, and drops the connection. System calls never raise
// SIGBUS: they fail with `.badAddress`, and do not poison.

import CLinux

/// A mapping that lives as long as anybody refers to it.
public final class SharedMapping: Sendable {
  private let mapping: MemoryMapping
  /// The place in the handler's table, negative when faults are not contained.
  private let slot: Int32

  /// Shares a mapping of a file that cannot be cut off, or of no file.
  public init(_ mapping: consuming MemoryMapping) {
    self.mapping = mapping
    slot = -1
  }

  /// How many mappings a process can contain faults in at a time.
  public static let containedLimit = Int(CLINUX_SIGBUS_SLOTS)

  /// Shares a mapping of somebody else's file, and contains its SIGBUS faults.
  ///
  /// - Throws: `.noSpace` when `containedLimit` mappings are contained already.
  public init(containingFaultsIn mapping: consuming MemoryMapping) throws(Errno) {
    let range = (mapping.address, mapping.mappedLength, mapping.pageSize)
    slot = try systemCall(retryOnInterrupt: false) {
      clinux_sigbus_register(range.0, range.1, range.2)
    }
    self.mapping = mapping
  }

  deinit {
    if slot >= 0 { clinux_sigbus_unregister(slot) }
  }

  /// Where the mapped bytes start.
  public var address: UInt { mapping.address }

  /// How many bytes were asked for.
  public var length: Int { mapping.length }

  /// What may be done with them.
  public var protection: MemoryProtection { mapping.protection }

  /// Where the mapped bytes start. Valid while this object lives.
  @unsafe public var base: UnsafeMutableRawPointer {
    // SAFETY: the mapping lives as long as this object, and the caller vouches for that.
    unsafe mapping.base
  }

  /// Whether a fault was contained: from then on the memory is not the file's any more. Cheap enough
  /// to ask for each request.
  public var isPoisoned: Bool { slot >= 0 && clinux_sigbus_poisoned(slot) != 0 }

  /// How many faults this process has contained. A worker that sees it change asks its own mappings.
  public static var containedFaultCount: UInt { UInt(clinux_sigbus_contained()) }
}
