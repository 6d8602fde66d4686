// SPDX-License-Identifier: Apache-2.0

import VirtioRing
import VirtioTesting

/// One row of the table: what the chains look like and where they lie.
struct Scenario {
  let isPacked: Bool
  let descriptors: Int
  let isIndirect: Bool
  let regions: Int

  /// Every row.
  static var all: [Scenario] {
    var rows: [Scenario] = []
    for isPacked in [false, true] {
      for (descriptors, isIndirect) in [(1, false), (3, false), (3, true)] {
        for regions in [1, 4] {
          rows.append(
            Scenario(
              isPacked: isPacked, descriptors: descriptors, isIndirect: isIndirect,
              regions: regions))
        }
      }
    }
    return rows
  }

  var name: String {
    let format = isPacked ? "packed" : "split"
    let shape = isIndirect ? "\(descriptors) in a table" : "\(descriptors) direct"
    return "\(format), \(shape), \(regions) region\(regions == 1 ? "" : "s")"
  }
}

/// A driver and its chains, ready to be served by one contender.
struct Workload: ~Copyable {
  static let ringSize: UInt16 = 256
  static let batch = 64
  private static let regionSize: UInt64 = 4 << 20

  let memory: TestMemory
  var driver: Driver
  private let chains: [[DriverBuffer]]
  private let shape: ChainShape

  init(_ scenario: Scenario) throws {
    // Gaps between the regions, so that no two are one.
    let ranges = (0..<UInt64(scenario.regions)).map { index in
      let start = index * 4 * Self.regionSize
      return start..<start + Self.regionSize
    }
    memory = try TestMemory(ranges)
    var space = GuestSpace(0..<1 << 20)
    let capacity = scenario.isIndirect ? 4 : 0
    let plan =
      scenario.isPacked
      ? RingPlan.packed(size: Self.ringSize, in: &space, indirectCapacity: capacity)
      : RingPlan.split(size: Self.ringSize, in: &space, indirectCapacity: capacity)
    var features: Features = .version1
    if scenario.isIndirect { features.insert(.indirectDescriptors) }
    if scenario.isPacked { features.insert(.packedRing) }
    driver = Driver(plan, memory: memory, features: features)
    shape = scenario.isIndirect ? .indirect : .direct
    // A request header, 4 KiB of data, a status byte: what a block device sees. Chain by chain the
    // buffers go round the regions.
    chains = (0..<Self.batch).map { number in
      let range = ranges[number % ranges.count]
      let data = range.lowerBound + (1 << 20) + UInt64(number) * 8192
      return scenario.descriptors == 1
        ? [.writable(data, 4096)]
        : [.readable(data + 4096, 16), .writable(data, 4096), .writable(data + 4112, 1)]
    }
  }

  /// Offers a batch.
  mutating func offer() {
    for chain in chains {
      let fits = driver.stage(chain.span, shape: shape)
      precondition(fits, "the ring is too short for a batch")
    }
    driver.publish()
  }

  /// Collects the batch.
  mutating func collect() throws {
    for _ in chains {
      let used = try driver.collect()
      precondition(used != nil, "a chain was not given back")
    }
  }
}
