// SPDX-License-Identifier: Apache-2.0
//
// MemoryPlan: where everything lies in a guest's memory at its start.
//
//     0        boot parameters
//     0x1000   command line
//     ...      kernel
//     ...      free
//     tables   first page tables, which the host makes: below the initrd, and below 768 MiB
//     initrd   at the very end, whole pages
//     memory   device page, then the rings

/// Places in a guest's memory.
struct MemoryPlan: Equatable {
  /// How much memory the guest has, in bytes: whole pages.
  let memory: UInt64
  /// Where the initrd is, and its size as the guest is told: whole pages. nil: there is none.
  let initrd: (address: UInt64, byteCount: UInt64)?

  /// - Parameters:
  ///   - kernelEnd: the end of what the kernel occupies.
  ///   - initrd: the file's path and size.
  ///   - deviceBytes: what devices take behind the memory.
  init(
    memory: UInt64, kernelEnd: UInt64, initrd: (path: String, byteCount: UInt64)?,
    deviceBytes: UInt64
  ) throws(LguestError) {
    let memory = memory & ~(GuestSizes.page - 1)
    guard memory <= GuestSizes.addressLimit, deviceBytes <= GuestSizes.addressLimit - memory else {
      throw .tooMuchMemory(memory: memory)
    }
    let needed = kernelEnd + GuestSizes.firstTables(memory: memory)
    guard memory >= GuestSizes.smallestMemory, memory >= needed else {
      throw .tooLittleMemory(memory: memory, needed: max(needed, GuestSizes.smallestMemory))
    }
    self.memory = memory
    guard let initrd else {
      self.initrd = nil
      return
    }
    let room = memory - needed
    guard initrd.byteCount <= room, GuestSizes.roundedToPages(initrd.byteCount) <= room else {
      throw .initrdTooLarge(path: initrd.path, byteCount: initrd.byteCount, room: room)
    }
    let byteCount = GuestSizes.roundedToPages(initrd.byteCount)
    self.initrd = byteCount == 0 ? nil : (memory - byteCount, byteCount)
  }

  static func == (a: MemoryPlan, b: MemoryPlan) -> Bool {
    a.memory == b.memory && a.initrd?.address == b.initrd?.address
      && a.initrd?.byteCount == b.initrd?.byteCount
  }
}
