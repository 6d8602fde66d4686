// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Testing
import VirtioRing
import VirtioTesting

@Suite("Guest memory made of mappings", .timeLimit(.minutes(20)))
struct MappedGuestMemoryTests {
  @Test("pieces of one mapping lie where the guest is told, and the memory keeps it mapped")
  func pieces() throws {
    let memory: GuestMemory
    do {
      let mapping = SharedMapping(try MemoryMapping(anonymous: 3 * 4096))
      memory = try GuestMemory([
        MappedGuestRegion(mapping, guestAddress: 0x10000, offset: 4096),
        MappedGuestRegion(mapping, guestAddress: 0, byteCount: 4096),
      ])
      #expect(memory.hostAddress(of: 0, byteCount: 4096) == mapping.address)
      #expect(memory.hostAddress(of: 0x10000, byteCount: 8192) == mapping.address + 4096)
    }
    #expect(memory.hostAddress(of: 0x10000, byteCount: 8193) == nil)
    // The mapping's own name is gone; only the table holds it.
    let view = TestMemory(sharing: memory)
    view.write([1, 2, 3], at: 0x10ffe)
    #expect(view.bytes(at: 0x10ffe, count: 3) == [1, 2, 3])
  }

  @Test("a device in one process fills memory that another mapping of the same file sees")
  func shared() throws {
    let file = try Memfd.create(name: "guest", size: 1 << 16)
    let guest = try GuestMemory([
      MappedGuestRegion(SharedMapping(try MemoryMapping(file, length: 1 << 16)), guestAddress: 0)
    ])
    TestMemory(sharing: guest).write([7, 8], at: 0x8000)
    var bytes: [UInt8] = [0, 0]
    #expect(try file.read(into: &bytes, at: 0x8000) == 2)
    #expect(bytes == [7, 8])
  }

  @Test("regions that share a guest address, or have no bytes, are refused")
  func refused() throws {
    let mapping = SharedMapping(try MemoryMapping(anonymous: 8192))
    #expect(throws: GuestMemoryError.regionsOverlap) {
      _ = try GuestMemory([
        MappedGuestRegion(mapping, guestAddress: 0),
        MappedGuestRegion(mapping, guestAddress: 4096),
      ])
    }
    #expect(throws: GuestMemoryError.emptyRegion) {
      _ = try GuestMemory([MappedGuestRegion(mapping, guestAddress: 0, offset: 8192)])
    }
  }

  @Test("a mapping that cannot be written is not guest memory")
  func readOnly() async {
    await #expect(processExitsWith: .failure) {
      let mapping = SharedMapping(try MemoryMapping(anonymous: 4096, protection: .read))
      _ = MappedGuestRegion(mapping, guestAddress: 0)
    }
  }
}
