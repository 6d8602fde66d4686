// SPDX-License-Identifier: Apache-2.0

import VirtioRing

/// Every word of a split ring, to be written at any time with anything: the hostile driver.
///
/// It keeps no state and checks nothing but that the ring lies in the test's memory. Indices past the
/// ring's end are taken modulo its size.
public struct RawSplitRing: Sendable {
  /// The memory that the ring lies in.
  public let memory: TestMemory
  /// Guest address of the descriptor table.
  public let descriptors: UInt64
  /// Guest address of the available ring.
  public let available: UInt64
  /// Guest address of the used ring.
  public let used: UInt64
  /// Entries.
  public let size: UInt16

  /// Looks at a ring. - Precondition: the plan is a split ring of at least one entry.
  public init(_ plan: RingPlan, memory: TestMemory) {
    guard case .split(let descriptors, let available, let used) = plan.layout, plan.size > 0 else {
      preconditionFailure("not a split ring: \(plan)")
    }
    self.memory = memory
    self.descriptors = descriptors
    self.available = available
    self.used = used
    size = plan.size
  }

  /// Guest address of a descriptor.
  public func descriptor(_ index: UInt16) -> UInt64 { descriptors + UInt64(index % size) * 16 }

  /// Guest address of an entry of the available ring.
  public func availableEntry(_ index: UInt16) -> UInt64 {
    available + 4 + UInt64(index % size) * 2
  }

  /// Guest address of an entry of the used ring.
  public func usedEntry(_ index: UInt16) -> UInt64 { used + 4 + UInt64(index % size) * 8 }

  /// Writes a descriptor of the table.
  public func setDescriptor(
    _ index: UInt16, address: UInt64, byteCount: UInt32, flags: UInt16 = 0, next: UInt16 = 0
  ) {
    memory.setSplitDescriptor(
      at: descriptor(index), address: address, byteCount: byteCount, flags: flags, next: next)
  }

  /// Makes heads available in the next entries of the available ring and moves its index.
  public func makeAvailable(_ heads: UInt16...) {
    for head in heads {
      let index = availableIndex
      memory.store(head, at: availableEntry(index))
      availableIndex = index &+ 1
    }
  }

  /// avail.flags.
  public var availableFlags: UInt16 {
    get { memory.load(UInt16.self, at: available) }
    nonmutating set { memory.store(newValue, at: available) }
  }

  /// avail.idx.
  public var availableIndex: UInt16 {
    get { memory.load(UInt16.self, at: available + 2) }
    nonmutating set { memory.store(newValue, at: available + 2) }
  }

  /// used_event.
  public var usedEvent: UInt16 {
    get { memory.load(UInt16.self, at: available + 4 + UInt64(size) * 2) }
    nonmutating set { memory.store(newValue, at: available + 4 + UInt64(size) * 2) }
  }

  /// used.flags.
  public var usedFlags: UInt16 {
    get { memory.load(UInt16.self, at: used) }
    nonmutating set { memory.store(newValue, at: used) }
  }

  /// used.idx.
  public var usedIndex: UInt16 {
    get { memory.load(UInt16.self, at: used + 2) }
    nonmutating set { memory.store(newValue, at: used + 2) }
  }

  /// avail_event.
  public var availableEvent: UInt16 {
    get { memory.load(UInt16.self, at: used + 4 + UInt64(size) * 8) }
    nonmutating set { memory.store(newValue, at: used + 4 + UInt64(size) * 8) }
  }

  /// An entry of the used ring: the head and the bytes written.
  public func usedElement(_ index: UInt16) -> (id: UInt32, written: UInt32) {
    (
      memory.load(UInt32.self, at: usedEntry(index)),
      memory.load(UInt32.self, at: usedEntry(index) + 4)
    )
  }
}

extension TestMemory {
  /// Writes a split descriptor anywhere, as into an indirect table (virtio 1.3, 2.7.5).
  public func setSplitDescriptor(
    at place: UInt64, address: UInt64, byteCount: UInt32, flags: UInt16 = 0, next: UInt16 = 0
  ) {
    store(address, at: place)
    store(byteCount, at: place + 8)
    store(flags, at: place + 12)
    store(next, at: place + 14)
  }

  /// Writes a packed descriptor anywhere, as into an indirect table (virtio 1.3, 2.8.13).
  public func setPackedDescriptor(
    at place: UInt64, address: UInt64, byteCount: UInt32, id: UInt16 = 0, flags: UInt16 = 0
  ) {
    store(address, at: place)
    store(byteCount, at: place + 8)
    store(id, at: place + 12)
    store(flags, at: place + 14)
  }
}
