// SPDX-License-Identifier: Apache-2.0
//
// PackedDriver: the driver's end of a packed ring (virtio 1.3, 2.8), honest.
//
// The calls are those of SplitDriver. Chains take slots one behind the other; the flags of the first
// staged descriptor are written last, with release, and make all of a batch available at once. A
// used chain frees its slots and its id, in whatever order the device gives chains back.

public import VirtioRing

/// The driver's end of a packed ring.
public struct PackedDriver: ~Copyable, Sendable {
  /// Where the ring is.
  public let plan: RingPlan
  /// The memory that the ring and its buffers lie in.
  public let memory: TestMemory
  /// What was negotiated.
  public let features: Features

  private let descriptors: SharedWindow
  private let driverEvent: SharedWindow
  private let deviceEvent: SharedWindow
  private let tables: SharedWindow?
  private let size: UInt16
  private let inOrder: Bool
  private let eventIndex: Bool

  /// Of a buffer id.
  private struct Slot {
    var token: UInt64 = 0
    var writableBytes: UInt64 = 0
    /// How many slots of the ring the chain takes; 0 where the id is free.
    var descriptorCount: UInt16 = 0
    /// The next free id.
    var nextFree: UInt16 = 0
  }
  private var slots: [Slot]
  private var firstFreeID: UInt16 = 0
  /// IN_ORDER: the ids in the order in which they were staged.
  private var order: [UInt16]
  private var orderHead = 0
  /// IN_ORDER: the last chain of a batch that the device told with one descriptor.
  private var batch: (lastID: UInt16, written: UInt32)?

  /// Slots of the ring that are in no chain.
  public private(set) var freeCount: Int
  /// Chains staged and not yet collected.
  public private(set) var inFlightCount = 0
  /// The slot behind the last staged chain.
  public private(set) var nextAvailable: UInt16
  /// The wrap counter that goes with `nextAvailable`.
  public private(set) var availableWrap: Bool
  /// The slot where the next used descriptor is written.
  public private(set) var nextUsed: UInt16
  /// The wrap counter that goes with `nextUsed`.
  public private(set) var usedWrap: Bool

  /// The first descriptor that is not available yet, and its flags.
  private var firstStaged: (slot: UInt16, flags: UInt16)?
  private var stagedSlots: UInt64 = 0
  private var publishedSlotsSinceAsked: UInt64 = 0
  private var publishedAvailable: UInt16
  private var publishedWrap: Bool

  /// Clears the ring and starts it.
  ///
  /// - Parameters:
  ///   - plan: where the ring lies.
  ///   - memory: what it lies in.
  ///   - features: what was negotiated.
  ///   - start: the slot that both sides start from; other than 0 for tests of wrapping.
  ///   - wrap: the wrap counter there; 1 in a new ring.
  /// - Precondition: the plan is a packed ring, each of its areas and all tables in one region.
  public init(
    _ plan: RingPlan, memory: TestMemory, features: Features, start: UInt16 = 0, wrap: Bool = true
  ) {
    guard case .packed(let descriptors, let driverEvent, let deviceEvent) = plan.layout,
      plan.size > 0, plan.size <= 32768, start < plan.size,
      let descriptorWindow = memory.window(at: descriptors, byteCount: Int(plan.size) * 16),
      let driverWindow = memory.window(at: driverEvent, byteCount: 4),
      let deviceWindow = memory.window(at: deviceEvent, byteCount: 4)
    else { preconditionFailure("no packed ring can be there: \(plan)") }
    self.plan = plan
    self.memory = memory
    self.features = features
    self.descriptors = descriptorWindow
    self.driverEvent = driverWindow
    self.deviceEvent = deviceWindow
    tables = memory.window(
      at: plan.indirectTables, byteCount: Int(plan.size) * plan.indirectCapacity * 16)
    size = plan.size
    inOrder = features.contains(.inOrder)
    eventIndex = features.contains(.eventIndex)
    slots = (0..<Int(plan.size)).map { Slot(nextFree: UInt16(($0 + 1) % Int(plan.size))) }
    order = Array(repeating: 0, count: inOrder ? Int(plan.size) : 0)
    freeCount = Int(plan.size)
    nextAvailable = start
    availableWrap = wrap
    nextUsed = start
    usedWrap = wrap
    publishedAvailable = start
    publishedWrap = wrap
    descriptorWindow.fill(0)
    driverWindow.fill(0)
    deviceWindow.fill(0)
    // Neither available nor used: both bits as the round before would have left them.
    for slot in 0..<size {
      let passed = slot < start ? wrap : !wrap
      descriptorWindow.store16Releasing(
        passed ? RingFlag.available | RingFlag.used : 0, Int(slot) * 16 + 14)
    }
  }

  /// What the device is told about this ring.
  public var configuration: QueueConfiguration {
    QueueConfiguration(
      layout: plan.layout, size: size, features: features,
      position: RingPosition(
        nextAvailable: nextUsed, nextUsed: nextUsed, availableWrap: usedWrap, usedWrap: usedWrap))
  }

  // MARK: Offering

  /// Writes a chain and makes it available.
  ///
  /// - Parameters:
  ///   - buffers: at least one, device-readable ones first.
  ///   - shape: where the descriptors go.
  ///   - token: comes back with the used chain.
  /// - Returns: false where too few slots are free.
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
    let isDirect = shape == .direct
    let ringCount = isDirect ? buffers.count : 1
    guard ringCount <= freeCount else { return false }
    let id = firstFreeID
    firstFreeID = slots[Int(id)].nextFree
    var writableBytes: UInt64 = 0
    if isDirect {
      for position in 0..<ringCount {
        let buffer = buffers[position]
        if buffer.isWritable { writableBytes += UInt64(buffer.byteCount) }
        var flags = buffer.isWritable ? RingFlag.write : 0
        if position < ringCount - 1 { flags |= RingFlag.next }
        put(buffer.address, buffer.byteCount, id: id, flags: flags)
      }
    } else {
      let address = writeTable(buffers, id: id, shape: shape, &writableBytes)
      put(address, UInt32(buffers.count) * 16, id: id, flags: RingFlag.indirect)
    }
    slots[Int(id)].token = token
    slots[Int(id)].writableBytes = writableBytes
    slots[Int(id)].descriptorCount = UInt16(ringCount)
    if inOrder { order[(orderHead + inFlightCount) % Int(size)] = id }
    freeCount -= ringCount
    inFlightCount += 1
    stagedSlots += UInt64(ringCount)
    return true
  }

  /// Writes the next slot; its flags too, unless it is the first of its batch.
  @inline(__always)
  private mutating func put(_ address: UInt64, _ byteCount: UInt32, id: UInt16, flags: UInt16) {
    let offset = Int(nextAvailable) * 16
    let marked = flags | (availableWrap ? RingFlag.available : RingFlag.used)
    descriptors.store64(address, offset)
    descriptors.store32(byteCount, offset + 8)
    descriptors.store16(id, offset + 12)
    if firstStaged == nil {
      firstStaged = (nextAvailable, marked)
    } else {
      descriptors.store16Releasing(marked, offset + 14)
    }
    nextAvailable += 1
    if nextAvailable == size {
      nextAvailable = 0
      availableWrap.toggle()
    }
  }

  /// Writes an indirect table. - Returns: its guest address.
  private func writeTable(
    _ buffers: Span<DriverBuffer>, id: UInt16, shape: ChainShape, _ writableBytes: inout UInt64
  ) -> UInt64 {
    var address = plan.table(of: id)
    var own = tables
    switch shape {
    case .indirectAt(let chosen):
      address = chosen
      own = nil
    case .indirectAfter:
      preconditionFailure("a packed chain is all in the ring or all in a table (2.8.7)")
    case .direct, .indirect:
      precondition(
        buffers.count <= plan.indirectCapacity, "the chain is longer than an indirect table")
    }
    let base = Int(id) * plan.indirectCapacity * 16
    for position in 0..<buffers.count {
      let buffer = buffers[position]
      if buffer.isWritable { writableBytes += UInt64(buffer.byteCount) }
      let flags = buffer.isWritable ? RingFlag.write : 0
      let word = UInt64(buffer.byteCount) | UInt64(flags) << 48
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
    guard let first = firstStaged else { return }
    firstStaged = nil
    publishedSlotsSinceAsked &+= stagedSlots
    stagedSlots = 0
    publishedAvailable = nextAvailable
    publishedWrap = availableWrap
    descriptors.store16Releasing(first.flags, Int(first.slot) * 16 + 14)
  }

  /// Whether the device wants a kick for what was published since this was asked last.
  ///
  /// Asking consumes the answer: whoever gets true kicks.
  public mutating func needsKick() -> Bool {
    let count = publishedSlotsSinceAsked
    guard count > 0 else { return false }
    publishedSlotsSinceAsked = 0
    // Pairs with the device's fence between storing its word and looking at the ring.
    driverFence()
    let word = deviceEvent.load32(0)
    switch UInt16(truncatingIfNeeded: word >> 16) & 3 {
    case RingFlag.eventsDisabled: return false
    case RingFlag.eventsAtPosition where eventIndex:
      // Positions further back than the ring is long cannot be told apart from ones ahead.
      guard count <= UInt64(size) else { return true }
      var event = UInt16(truncatingIfNeeded: word) & 0x7fff
      if (UInt16(truncatingIfNeeded: word) & 0x8000 != 0) != publishedWrap { event &-= size }
      return publishedAvailable &- event &- 1 < UInt16(count)
    default: return true
    }
  }

  // MARK: Collecting

  /// The flags of the next used slot where the device has written it, else nil.
  @inline(__always)
  private func usedFlags() -> UInt16? {
    // Pairs with the device's release of the flags.
    let flags = descriptors.load16Acquiring(Int(nextUsed) * 16 + 14)
    guard (flags & RingFlag.available != 0) == usedWrap, (flags & RingFlag.used != 0) == usedWrap
    else { return nil }
    return flags
  }

  /// Takes the next chain that the device has used.
  ///
  /// - Returns: nil where there is none.
  /// - Throws: what the device did wrong; the chain then stays in flight.
  public mutating func collect() throws(DeviceFault) -> UsedChain? {
    if let batch { return try collectOfBatch(batch.lastID, batch.written) }
    guard let flags = usedFlags() else { return nil }
    guard inFlightCount > 0 else { throw .usedIndexJumped }
    let offset = Int(nextUsed) * 16
    let id = descriptors.load16(offset + 12)
    // The length counts only where the device says that it wrote (2.8.6).
    let written = flags & RingFlag.write != 0 ? descriptors.load32(offset + 8) : 0
    guard id < size, slots[Int(id)].descriptorCount > 0 else { throw .chainNotInFlight }
    guard inOrder else { return try free(id, written: written) }
    // One descriptor may stand for all chains up to the one it names (2.8.9).
    return try collectOfBatch(id, written)
  }

  private mutating func collectOfBatch(
    _ lastID: UInt16, _ written: UInt32
  ) throws(DeviceFault) -> UsedChain {
    let id = order[orderHead]
    let used: UsedChain
    if id == lastID {
      batch = nil
      used = try free(id, written: written)
    } else {
      batch = (lastID, written)
      used = try free(id, written: UInt32(slots[Int(id)].writableBytes))
    }
    orderHead = (orderHead + 1) % Int(size)
    return used
  }

  @inline(__always)
  private mutating func free(_ id: UInt16, written: UInt32) throws(DeviceFault) -> UsedChain {
    let slot = slots[Int(id)]
    guard UInt64(written) <= slot.writableBytes else { throw .wroteTooMuch }
    slots[Int(id)].descriptorCount = 0
    slots[Int(id)].nextFree = firstFreeID
    firstFreeID = id
    freeCount += Int(slot.descriptorCount)
    inFlightCount -= 1
    // At most 32767 + 32768: below 2^16.
    nextUsed += slot.descriptorCount
    if nextUsed >= size {
      nextUsed -= size
      usedWrap.toggle()
    }
    return UsedChain(token: slot.token, id: id, written: written)
  }

  // MARK: Calls

  /// Tells the device that calls are not needed.
  public mutating func suppressCalls() {
    driverEvent.store16Releasing(RingFlag.eventsDisabled, 2)
  }

  /// Asks for a call with the next used chain.
  ///
  /// - Returns: true where one is there already: collect it, no call may come for it.
  public mutating func allowCalls() -> Bool { requestCall(after: 1) }

  /// Asks for a call when `count` more slots of the ring are used. Without EVENT_IDX: with the next
  /// used chain.
  ///
  /// - Returns: true where chains are used already: collect them and ask again, no call may come for
  ///   them. (A ring does not show how many slots are used without walking it.)
  /// - Precondition: `count` is 1 to the size.
  public mutating func requestCall(after count: UInt16) -> Bool {
    precondition(count > 0 && count <= size)
    if eventIndex {
      var slot = UInt32(nextUsed) + UInt32(count) - 1
      var wrap = usedWrap
      if slot >= UInt32(size) {
        slot -= UInt32(size)
        wrap.toggle()
      }
      // The offset first: the flags make it count.
      driverEvent.store16(UInt16(slot) | (wrap ? 0x8000 : 0), 0)
      driverEvent.store16Releasing(RingFlag.eventsAtPosition, 2)
    } else {
      driverEvent.store16Releasing(RingFlag.eventsEnabled, 2)
    }
    // Pairs with the device's fence between its descriptor's flags and loading our word.
    driverFence()
    return usedFlags() != nil
  }
}
