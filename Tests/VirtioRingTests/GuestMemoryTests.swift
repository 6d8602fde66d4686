// SPDX-License-Identifier: Apache-2.0

import Testing
import VirtioRing
import VirtioTesting

@Suite("Guest memory is a table of regions", .timeLimit(.minutes(20)))
struct GuestMemoryTests {
  @Test("what is no table is refused")
  func refused() {
    #expect(throws: GuestMemoryError.badRegionCount) { _ = try TestMemory([]) }
    #expect(throws: GuestMemoryError.emptyRegion) { _ = try TestMemory([0..<4096, 4096..<4096]) }
    #expect(throws: GuestMemoryError.regionsOverlap) {
      _ = try TestMemory([0..<4097, 4096..<8192])
    }
    #expect(throws: GuestMemoryError.regionsOverlap) {
      _ = try TestMemory([0..<8192, 4096..<4100])
    }
    #expect(throws: GuestMemoryError.badRegionCount) {
      _ = try TestMemory((0..<510).map { UInt64($0) * 8192..<UInt64($0) * 8192 + 64 })
    }
  }

  @Test("a region that passes the end of an address space is refused")
  func wraps() {
    final class Nothing: Sendable {}
    for region in [
      GuestRegion(guestAddress: UInt64.max - 10, byteCount: 11, hostAddress: 4096),
      GuestRegion(guestAddress: 0, byteCount: 11, hostAddress: UInt.max - 10),
      GuestRegion(guestAddress: 0, byteCount: 11, hostAddress: 0),
      GuestRegion(guestAddress: 0, byteCount: 1 << 63, hostAddress: 4096),
    ] {
      #expect(throws: GuestMemoryError.regionWraps) {
        // SAFETY: the table is refused; nobody follows it.
        _ = try unsafe GuestMemory(regions: [region], owner: Nothing())
      }
    }
  }

  @Test("regions are sorted, and a range lies in one region or is not found")
  func lookUp() throws {
    let memory = try TestMemory([0x8000..<0x9000, 0x1000..<0x2000, 0x2000..<0x3000]).guestMemory
    #expect(memory.regionCount == 3)
    #expect((0..<3).map { memory[$0].guestAddress } == [0x1000, 0x2000, 0x8000])
    let first = memory[0].hostAddress
    #expect(memory.hostAddress(of: 0x1000, byteCount: 0x1000) == first)
    #expect(memory.hostAddress(of: 0x1fff, byteCount: 1) == first + 0xfff)
    #expect(memory.hostAddress(of: 0x1fff, byteCount: 2) == nil)
    #expect(memory.hostAddress(of: 0xfff, byteCount: 1) == nil)
    #expect(memory.hostAddress(of: 0x3000, byteCount: 0) == nil)
    #expect(memory.hostAddress(of: 0x8000, byteCount: UInt64.max) == nil)
    #expect(memory.hostAddress(of: UInt64.max, byteCount: 1) == nil)
    #expect(memory.guestAddress(ofHost: first + 5) == 0x1005)
    #expect(memory.guestAddress(ofHost: first + 0x1000) == nil)
  }

  @Test("509 regions: every one is found, at its first and its last byte")
  func manyRegions() throws {
    // A gap behind every third region.
    let starts = (UInt64(0)..<509).map { 0x10000 + ($0 + $0 / 3) * 4096 }
    let test = try TestMemory(starts.map { $0..<$0 + 4096 })
    let memory = test.guestMemory
    for start in starts {
      let host = memory.hostAddress(of: start, byteCount: 4096)
      #expect(host != nil)
      #expect(memory.hostAddress(of: start + 4095, byteCount: 1) == host.map { $0 + 4095 })
      #expect(memory.hostAddress(of: start - 1, byteCount: 2) == nil)
    }
  }

  @Test("509 regions: a chain with a buffer over all of an adjacent stretch")
  func chainOverManyRegions() throws {
    let test = try TestMemory((0..<509).map { UInt64($0) * 4096..<UInt64($0 + 1) * 4096 })
    var space = GuestSpace(0..<4096)
    var driver = Driver(.split(size: 8, in: &space), memory: test, features: .version1)
    var queue = try Virtqueue(driver.configuration, memory: test.guestMemory)
    var chain = Chain(segmentCapacity: 512)
    let offered = driver.offer([.readable(4095, 507 * 4096 + 2)])
    #expect(offered)
    let taken = try queue.pop(into: &chain)
    let count = chain.readableCount
    let bytes = chain.readableBytes
    #expect(taken)
    #expect(count == 509)
    #expect(bytes == 507 * 4096 + 2)
  }
}
