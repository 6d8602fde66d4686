// SPDX-License-Identifier: Apache-2.0
//
// RingCalls: serves chains of every shape on both formats, so that no-runtime-calls.sh can count which
// functions of the runtime that takes. The argument says how many chains of each; `--planted` allocates
// for each chain, to show that the count would see it.

import VirtioRing
import VirtioTesting

@main
struct RingCalls {
  static func main() throws {
    let count = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1000
    for isPacked in [false, true] {
      for isIndirect in [false, true] {
        for inOrder in [false, true] {
          try run(count, isPacked: isPacked, isIndirect: isIndirect, inOrder: inOrder)
        }
      }
    }
  }

  private static func run(
    _ count: Int, isPacked: Bool, isIndirect: Bool, inOrder: Bool
  ) throws {
    // Two regions, and buffers in both, so that the walk misses the region it hit last.
    let memory = try TestMemory([0..<1 << 20, 4 << 20..<5 << 20])
    var space = GuestSpace(0..<1 << 19)
    let plan =
      isPacked
      ? RingPlan.packed(size: 64, in: &space, indirectCapacity: 4)
      : RingPlan.split(size: 64, in: &space, indirectCapacity: 4)
    var features: Features = [.version1, .eventIndex, .indirectDescriptors]
    if isPacked { features.insert(.packedRing) }
    if inOrder { features.insert(.inOrder) }
    var driver = Driver(plan, memory: memory, features: features)
    var queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    var chain = Chain()
    let buffers: [DriverBuffer] = [
      .readable(1 << 19, 16), .writable(4 << 20, 4096), .writable((1 << 19) + 16, 1),
    ]
    var planted: [Int]? = CommandLine.arguments.contains("--planted") ? [] : nil
    var served = 0
    while served < count {
      for _ in 0..<8 {
        let fits = driver.stage(buffers.span, shape: isIndirect ? .indirect : .direct)
        precondition(fits, "the ring is too short")
      }
      driver.publish()
      served += try serveChains(&queue, &chain, &planted)
      while try driver.collect() != nil {}
    }
  }

  /// What is counted: taking, giving back, asking for calls and kicks.
  @inline(never)
  static func serveChains(
    _ queue: inout Virtqueue, _ chain: inout Chain, _ planted: inout [Int]?
  ) throws(RingError) -> Int {
    var served = 0
    queue.disableKicks()
    while try queue.pop(into: &chain) {
      queue.push(chain, written: UInt32(truncatingIfNeeded: chain.writableBytes))
      served += 1
      if planted != nil { planted = [served, chain.readableBytes] }
    }
    _ = queue.needsCall()
    _ = try queue.enableKicks()
    return served
  }
}
