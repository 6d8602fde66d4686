// SPDX-License-Identifier: Apache-2.0
//
// SplitDriver: the driver's end of a split ring (virtio 1.3, 2.7), honest.
//
//     stage            descriptors and an entry of the available ring; the device cannot see them yet
//     publish          releases avail.idx
//     needsKick        fence, then what the device asked for: used.flags or avail_event
//     collect          acquires used.idx, gives the chain's token back, frees its descriptors
//     suppressCalls, allowCalls, requestCall     avail.flags or used_event
//
// None of the calls above allocates. A driver remembers per descriptor what it needs to free a chain,
// in private memory: what the device can write is never trusted for that.

public import VirtioRing

/// The driver's end of a split ring.
public struct SplitDriver: ~Copyable, Sendable {
  /// Where the ring is.
  public let plan: RingPlan
  /// The memory that the ring and its buffers lie in.
  public let memory: TestMemory
  /// What was negotiated.
  public let features: Features

  private let descriptors: SharedWindow
  private let available: SharedWindow
  private let used: SharedWindow
  private let tables: SharedWindow?
  private let size: UInt16
  private let mask: UInt16
  private let inOrder: Bool
  private let eventIndex: Bool

  /// Of a descriptor. The chain's facts stand in its head.
  private struct Slot {
    var token: UInt64 = 0
    var writableBytes: UInt64 = 0
    /// How many descriptors of the ring the chain takes; 0 where it is not in flight.
    var descriptorCount: UInt16 = 0
    /// The descriptor behind this one in its chain or in the free list.
    var next: UInt16 = 0
  }
  private var slots: [Slot]
  private var firstFree: UInt16 = 0
  /// IN_ORDER: the heads in the order in which they were staged, by available index.
  private var order: [UInt16]
  /// IN_ORDER: the last chain of a batch that the device told with one entry, and how much of it
  /// was written.
  private var batch: (lastID: UInt16, written: UInt32)?

  /// Descriptors of the ring that are in no chain.
  public private(set) var freeCount: Int
  /// Chains staged and not yet collected.
  public private(set) var inFlightCount = 0
  /// The available index behind the last staged chain.
  public private(set) var nextAvailable: UInt16
  /// The used index of the next chain to collect.
  public private(set) var nextUsed: UInt16
  private var publishedAvailable: UInt16
  private var publishedSinceAsked: UInt64 = 0

  /// Zeroes the ring and starts it.
  ///
  /// - Parameters:
  ///   - plan: where the ring lies.
  ///   - memory: what it lies in.
  ///   - features: what was negotiated.
  ///   - start: the value that both indices start from; other than 0 for tests of wrapping.
  /// - Precondition: the plan is a split ring, each of its areas and all tables in one region.
  public init(_ plan: RingPlan, memory: TestMemory, features: Features, start: UInt16 = 0) {
    guard case .split(let descriptors, let available, let used) = plan.layout,
      plan.size > 0, plan.size & (plan.size - 1) == 0, plan.size <= 32768,
      let descriptorWindow = memory.window(at: descriptors, byteCount: Int(plan.size) * 16),
      let availableWindow = memory.window(at: available, byteCount: 6 + Int(plan.size) * 2),
      let usedWindow = memory.window(at: used, byteCount: 6 + Int(plan.size) * 8)
    else { preconditionFailure("no split ring can be there: \(plan)") }
    self.plan = plan
    self.memory = memory
    self.features = features
    self.descriptors = descriptorWindow
    self.available = availableWindow
    self.used = usedWindow
    tables = memory.window(
      at: plan.indirectTables, byteCount: Int(plan.size) * plan.indirectCapacity * 16)
    size = plan.size
    mask = plan.size - 1
    inOrder = features.contains(.inOrder)
    eventIndex = features.contains(.eventIndex)
    slots = (0..<Int(plan.size)).map { Slot(next: UInt16(($0 + 1) % Int(plan.size))) }
    order = Array(repeating: 0, count: inOrder ? Int(plan.size) : 0)
    freeCount = Int(plan.size)
    nextAvailable = start
    publishedAvailable = start
    nextUsed = start
    descriptorWindow.fill(0)
    usedWindow.fill(0)
    availableWindow.fill(0)
    usedWindow.store16(start, 2)
    usedWindow.store16(start, 4 + Int(size) * 8)
    availableWindow.store16(start, 4 + Int(size) * 2)
    availableWindow.store16Releasing(start, 2)
  }

  /// What the device is told about this ring.
  public var configuration: QueueConfiguration {
    QueueConfiguration(
      layout: plan.layout, size: size, features: features,
      position: RingPosition(nextAvailable: nextUsed, nextUsed: nextUsed))
  }

  // MARK: Offering

  /// Writes a chain and makes it available.
  ///
  /// - Parameters:
  ///   - buffers: at least one, device-readable ones first.
  ///   - shape: where the descriptors go.
  ///   - token: comes back with the used chain.
  /// - Returns: false where too few descriptors are free.
  @inline(__always)
  public mutating func offer(
    _ buffers: Span<DriverBuffer>, shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    guard stage(buffers, shape: shape, token: token) else { return false }
    publish()
    return true
  }

  /// Writes a chain without making it available yet. As `offer` otherwise.
  public mutating func stage(
    _ buffers: Span<DriverBuffer>, shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    precondition(buffers.count > 0, "a chain has at least one buffer")
    let direct: Int
    switch shape {
    case .direct: direct = buffers.count
    case .indirect, .indirectAt: direct = 0
    case .indirectAfter(let count): direct = count
    }
    let ringCount = direct + (direct < buffers.count ? 1 : 0)
    guard ringCount <= freeCount else { return false }

    let head = firstFree
    var index = head
    var writableBytes: UInt64 = 0
    for position in 0..<ringCount {
      let isLast = position == ringCount - 1
      let following = slots[Int(index)].next
      if position < direct {
        let buffer = buffers[position]
        if buffer.isWritable { writableBytes += UInt64(buffer.byteCount) }
        var flags = buffer.isWritable ? RingFlag.write : 0
        if !isLast { flags |= RingFlag.next }
        write(
          index, buffer.address, buffer.byteCount, flags: flags, next: isLast ? 0 : following)
      } else {
        let address = writeTable(buffers, from: direct, head: head, shape: shape, &writableBytes)
        write(
          index, address, UInt32(buffers.count - direct) * 16, flags: RingFlag.indirect, next: 0)
      }
      if !isLast { index = following }
    }
    firstFree = slots[Int(index)].next
    freeCount -= ringCount
    slots[Int(head)].token = token
    slots[Int(head)].writableBytes = writableBytes
    slots[Int(head)].descriptorCount = UInt16(ringCount)
    if inOrder { order[Int(nextAvailable & mask)] = head }
    available.store16(head, 4 + Int(nextAvailable & mask) * 2)
    nextAvailable &+= 1
    inFlightCount += 1
    return true
  }

  @inline(__always)
  private func write(
    _ index: UInt16, _ address: UInt64, _ byteCount: UInt32, flags: UInt16, next: UInt16
  ) {
    let offset = Int(index) * 16
    descriptors.store64(address, offset)
    descriptors.store64(
      UInt64(byteCount) | UInt64(flags) << 32 | UInt64(next) << 48, offset + 8)
  }

  /// Writes the buffers from `first` on as an indirect table. - Returns: its guest address.
  private func writeTable(
    _ buffers: Span<DriverBuffer>, from first: Int, head: UInt16, shape: ChainShape,
    _ writableBytes: inout UInt64
  ) -> UInt64 {
    let count = buffers.count - first
    var address = plan.table(of: head)
    var own = tables
    if case .indirectAt(let chosen) = shape {
      address = chosen
      own = nil
    } else {
      precondition(count <= plan.indirectCapacity, "the chain is longer than an indirect table")
    }
    let base = Int(head) * plan.indirectCapacity * 16
    for position in 0..<count {
      let buffer = buffers[first + position]
      if buffer.isWritable { writableBytes += UInt64(buffer.byteCount) }
      var flags = buffer.isWritable ? RingFlag.write : 0
      var next: UInt16 = 0
      if position < count - 1 {
        flags |= RingFlag.next
        next = UInt16(position + 1)
      }
      let word = UInt64(buffer.byteCount) | UInt64(flags) << 32 | UInt64(next) << 48
      if let own {
        own.store64(buffer.address, base + position * 16)
        own.store64(word, base + position * 16 + 8)
      } else {
        memory.store(buffer.address, at: address + UInt64(position) * 16)
        memory.store(word, at: address + UInt64(position) * 16 + 8)
      }
    }
    return address
  }

  /// Makes everything available that was staged.
  @inline(__always)
  public mutating func publish() {
    publishedSinceAsked &+= UInt64(nextAvailable &- publishedAvailable)
    publishedAvailable = nextAvailable
    available.store16Releasing(nextAvailable, 2)
  }

  /// Whether the device wants a kick for what was published since this was asked last.
  ///
  /// Asking consumes the answer: whoever gets true kicks.
  public mutating func needsKick() -> Bool {
    let count = publishedSinceAsked
    guard count > 0 else { return false }
    publishedSinceAsked = 0
    // Pairs with the device's fence between storing its word and loading avail.idx.
    driverFence()
    guard eventIndex else { return used.load16(0) & RingFlag.noNotify == 0 }
    guard count <= UInt64(UInt16.max) else { return true }
    let event = used.load16(4 + Int(size) * 8)
    return publishedAvailable &- event &- 1 < UInt16(count)
  }

  // MARK: Collecting

  /// Takes the next chain that the device has used.
  ///
  /// - Returns: nil where there is none.
  /// - Throws: what the device did wrong; the chain then stays in flight.
  public mutating func collect() throws(DeviceFault) -> UsedChain? {
    if let batch { return try collectOfBatch(batch.lastID, batch.written) }
    let waiting = used.load16Acquiring(2) &- nextUsed
    guard waiting != 0 else { return nil }
    guard Int(waiting) <= inFlightCount else { throw .usedIndexJumped }
    let entry = 4 + Int(nextUsed & mask) * 8
    let id = used.load32(entry)
    let written = used.load32(entry + 4)
    guard id < UInt32(size), slots[Int(id)].descriptorCount > 0 else { throw .chainNotInFlight }
    guard inOrder else { return try free(UInt16(id), written: written) }
    // One entry may stand for all chains up to the one it names (2.7.9).
    guard (0..<waiting).contains(where: { order[Int((nextUsed &+ $0) & mask)] == UInt16(id) })
    else { throw .outOfOrder }
    return try collectOfBatch(UInt16(id), written)
  }

  private mutating func collectOfBatch(
    _ lastID: UInt16, _ written: UInt32
  ) throws(DeviceFault) -> UsedChain {
    let id = order[Int(nextUsed & mask)]
    guard id == lastID else {
      batch = (lastID, written)
      // A chain without an entry of its own counts as written completely.
      return try free(id, written: UInt32(slots[Int(id)].writableBytes))
    }
    batch = nil
    return try free(id, written: written)
  }

  @inline(__always)
  private mutating func free(
    _ head: UInt16, written: UInt32
  ) throws(DeviceFault) -> UsedChain {
    let slot = slots[Int(head)]
    guard UInt64(written) <= slot.writableBytes else { throw .wroteTooMuch }
    slots[Int(head)].descriptorCount = 0
    if !inOrder {
      // Onto the front of the free list. IN_ORDER frees in ring order, and the list is the ring.
      var last = head
      for _ in 1..<slot.descriptorCount { last = slots[Int(last)].next }
      slots[Int(last)].next = firstFree
      firstFree = head
    }
    freeCount += Int(slot.descriptorCount)
    inFlightCount -= 1
    nextUsed &+= 1
    return UsedChain(token: slot.token, id: head, written: written)
  }

  // MARK: Calls

  /// Tells the device that calls are not needed.
  ///
  /// Under EVENT_IDX that is a used_event just passed: the device still calls after 2^16 chains.
  public mutating func suppressCalls() {
    if eventIndex {
      available.store16(nextUsed &- 1, 4 + Int(size) * 2)
    } else {
      available.store16(RingFlag.noInterrupt, 0)
    }
  }

  /// Asks for a call with the next used chain.
  ///
  /// - Returns: true where one is there already: collect it, no call may come for it.
  public mutating func allowCalls() -> Bool { requestCall(after: 1) }

  /// Asks for a call when `count` more chains are used. Without EVENT_IDX: with the next one.
  ///
  /// - Returns: true where that many are there already: no call may come for them.
  /// - Precondition: `count` is 1 to the size.
  public mutating func requestCall(after count: UInt16) -> Bool {
    precondition(count > 0 && count <= size)
    var wanted: UInt16 = 1
    if eventIndex {
      wanted = count
      available.store16(nextUsed &+ (count - 1), 4 + Int(size) * 2)
    } else {
      available.store16(0, 0)
    }
    // Pairs with the device's fence between storing used.idx and loading our word.
    driverFence()
    return used.load16Acquiring(2) &- nextUsed >= wanted
  }
}
