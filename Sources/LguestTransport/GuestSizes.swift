// SPDX-License-Identifier: Apache-2.0

/// Sizes and addresses that a guest, its host and its launcher agree on.
enum GuestSizes {
  /// A page of an i386 guest.
  static let page: UInt64 = 4096
  /// The least memory that a guest can have: boot parameters, command line, tables and a tiny kernel.
  static let smallestMemory: UInt64 = 4 << 20
  /// The memory of a guest that is never run: enough for its first page tables.
  static let probeMemory: UInt64 = 16 * page
  /// Where memory ends at the latest: pages are counted in 20 bits, and devices lie behind the memory.
  static let addressLimit: UInt64 = 1 << 32
  /// Where the boot parameters are (Linux's `struct boot_params`).
  static let bootParameters: UInt64 = 0
  /// Where the command line is, right behind them.
  static let commandLine: UInt64 = 0x1000
  /// The most bytes of a command line, with its final zero (COMMAND_LINE_SIZE of a 32-bit kernel).
  static let commandLineLimit = 2048
  /// Where the protected-mode part of a bzImage is read to.
  static let bzImageAddress: UInt64 = 0x10_0000
  /// What a relocatable bzImage is told to align itself to, and so where it unpacks itself. With 0 it
  /// would unpack itself over address 0.
  static let kernelAlignment: UInt32 = 0x100_0000
  /// How much memory the first page tables map at most.
  static let firstMapped: UInt64 = 1 << 30
  /// How much memory one page of the first page tables maps, in the form without PAE.
  static let mappedByTable: UInt64 = 4 << 20

  /// The next multiple of a page. - Precondition: no guest has that many bytes that this would wrap.
  static func roundedToPages(_ count: UInt64) -> UInt64 { (count + page - 1) & ~(page - 1) }

  /// How many bytes the first page tables take, below the initrd. The host makes them in both forms, and
  /// those of PAE take twice as much; each form has a page above its tables.
  static func firstTables(memory: UInt64) -> UInt64 {
    let tables = (min(memory, firstMapped) + mappedByTable - 1) / mappedByTable
    return (3 * tables + 2) * page
  }
}
