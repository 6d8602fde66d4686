// SPDX-License-Identifier: Apache-2.0

import VirtioRing
package import VirtioTesting

/// A guest's memory as its host was told of it. It is there as long as the guest is.
package struct GuestView {
  private final class Nobody: Sendable {}

  package let memory: TestMemory

  package init(base: UInt64, pages: UInt64) throws {
    let region = GuestRegion(guestAddress: 0, byteCount: pages * 4096, hostAddress: UInt(base))
    // The launcher keeps the memory mapped while it waits in read.
    memory = try unsafe TestMemory(regions: [region], owner: Nobody())
  }

  package func bytes(_ address: UInt64, _ count: Int) -> [UInt8] {
    memory.bytes(at: address, count: count)
  }
}
