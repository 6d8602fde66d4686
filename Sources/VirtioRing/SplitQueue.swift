// SPDX-License-Identifier: Apache-2.0
//
// SplitQueue: the device's end of a split ring (virtio 1.3, 2.7).
//
//    driver                                   device
//    writes descriptors, ring[i] = head
//    releases avail.idx             ------->  acquires avail.idx, walks the chain      (pop)
//    acquires used.idx              <-------  writes used.ring[j], releases used.idx   (stage, publish)
//
// Two questions cross: "did you want a call?" after used.idx was stored, and "is there more?" after
// kicks were allowed again. Each side stores its word, fences, then loads the other's, so at least
// one of them sees the other and no wake-up is lost.

/// A split ring's device side.
struct SplitQueue: ~Copyable {
  private var ring: SplitRingMemory
  private let size: UInt16
  private var inOrder: Bool
  private let indirect: Bool
  private let eventIndex: Bool
  private let notifyOnEmpty: Bool
  /// The most descriptors that a chain may have.
  private let chainLimit: Int

  /// Free-running, as the ring's own indices.
  private(set) var nextAvailable: UInt16
  private(set) var nextUsed: UInt16
  /// The available index as read last: the driver's line is touched only when we have caught up.
  private var seenAvailable: UInt16
  /// The used index that the driver can see.
  private(set) var publishedUsed: UInt16
  /// Chains that became visible since the driver was last asked whether it wants a call.
  private var publishedSinceAsked: UInt64 = 0
  /// The region hit last.
  private var lastHit: GuestRegion

  private let inFlight: InFlightTable
  /// Chains taken and not yet staged.
  private(set) var inFlightCount: UInt16 = 0
  /// IN_ORDER: where in the order the oldest chain stands.
  private var oldest: UInt16 = 0

  init(_ configuration: QueueConfiguration, ring: SplitRingMemory, memory: borrowing GuestMemory) {
    self.ring = ring
    size = configuration.size
    let features = configuration.features
    inOrder = features.contains(.inOrder)
    indirect = features.contains(.indirectDescriptors)
    eventIndex = features.contains(.eventIndex)
    notifyOnEmpty = features.contains(.notifyOnEmpty)
    chainLimit = max(Int(configuration.size), Virtqueue.minimumChainLimit)
    nextAvailable = configuration.position.nextAvailable
    seenAvailable = nextAvailable
    nextUsed = configuration.position.nextUsed ?? ring.usedIndex
    publishedUsed = nextUsed
    lastHit = memory[0]
    inFlight = InFlightTable(size: configuration.size)
  }

  /// Gives chains back in the order in which they are taken, from now on. - Precondition: nothing is in flight.
  mutating func keepOrder() {
    precondition(inFlightCount == 0, "a chain was taken without its place in the order")
    inOrder = true
  }

  /// Goes on with the same ring in another memory. - Precondition: nothing is in flight.
  mutating func move(to ring: SplitRingMemory, memory: borrowing GuestMemory) {
    precondition(inFlightCount == 0)
    self.ring = ring
    lastHit = memory[0]
  }

  // MARK: Taking chains

  @inline(__always)
  mutating func pop(
    _ memory: borrowing GuestMemory, into chain: inout Chain
  ) throws(RingError) -> Bool {
    if nextAvailable == seenAvailable {
      guard try lookAgain() else { return false }
    }
    let head = ring.availableEntry(nextAvailable)
    guard let slot = inFlight.slot(head) else { throw .headOutOfRange }
    guard slot.descriptors == 0 else { throw .headInFlight }

    let first = ring.descriptor(head)
    if first.splitFlags & RingFlag.indirect != 0 {
      try takeTable(first, head, memory, into: &chain)
    } else {
      try takeDirect(first, head, memory, into: &chain)
    }
    nextAvailable &+= 1
    return true
  }

  /// Walks a chain that begins in the ring.
  @inline(__always)
  private mutating func takeDirect(
    _ first: Descriptor, _ head: UInt16, _ memory: borrowing GuestMemory,
    into chain: inout Chain
  ) throws(RingError) {
    var builder = ChainBuilder(chain, lastHit: lastHit)
    var descriptor = first
    var count: UInt16 = 1
    while true {
      let flags = descriptor.splitFlags
      try builder.append(descriptor, isWritable: flags & RingFlag.write != 0, in: memory)
      guard flags & RingFlag.next != 0 else { break }
      // More descriptors than the ring has: the chain bites its tail.
      guard count < size else { throw .chainTooLong }
      let index = descriptor.splitNext
      guard index < size else { throw .nextOutOfRange }
      descriptor = ring.descriptor(index)
      count &+= 1
      if descriptor.splitFlags & RingFlag.indirect != 0 {
        try checkIndirect(descriptor)
        builder = try builder.appendingTable(
          descriptor, followsNext: true, limit: chainLimit, in: memory)
        break
      }
    }
    try finish(builder, head, count, &chain)
  }

  /// Walks a chain that is all in an indirect table. A function of its own, so that the direct walk keeps
  /// its registers.
  @inline(never)
  private mutating func takeTable(
    _ first: Descriptor, _ head: UInt16, _ memory: borrowing GuestMemory,
    into chain: inout Chain
  ) throws(RingError) {
    try checkIndirect(first)
    var builder = ChainBuilder(chain, lastHit: lastHit)
    try builder.appendTable(first, followsNext: true, limit: chainLimit, in: memory)
    try finish(builder, head, 1, &chain)
  }

  @inline(__always)
  private func checkIndirect(_ descriptor: Descriptor) throws(RingError) {
    guard indirect else { throw .indirectNotNegotiated }
    guard descriptor.splitFlags & RingFlag.next == 0 else { throw .indirectWithNext }
  }

  @inline(__always)
  private mutating func finish(
    _ builder: ChainBuilder, _ head: UInt16, _ count: UInt16, _ chain: inout Chain
  ) throws(RingError) {
    try builder.finish(&chain, id: head, descriptorCount: count)
    if builder.lastHit.guestAddress != lastHit.guestAddress { lastHit = builder.lastHit }
    inFlight[head] = InFlightTable.Slot(descriptors: count)
    if inOrder { inFlight.setOrderedID((oldest &+ inFlightCount) & (size &- 1), head) }
    inFlightCount &+= 1
  }

  /// Reads the driver's index. - Returns: whether there is something new.
  @inline(__always)
  private mutating func lookAgain() throws(RingError) -> Bool {
    let index = ring.availableIndex
    // At most as many entries can be waiting as the ring has, less the chains that the driver has not
    // seen used. An index that went backwards is far ahead in this arithmetic.
    guard index &- nextAvailable <= room else { throw .availableIndexJumped }
    seenAvailable = index
    return index != nextAvailable
  }

  /// Descriptors that are in no chain which the driver has not seen used, if each takes but one.
  private var room: UInt16 { size &- inFlightCount &- (nextUsed &- publishedUsed) }

  /// Gives the chain that was taken last back to the ring, as if it had not been taken.
  mutating func unpop(_ chain: borrowing Chain) {
    let slot = inFlight[chain.id]
    precondition(slot.isWithDevice, "chain is not in flight")
    if inOrder {
      let last = inFlight.orderedID((oldest &+ inFlightCount &- 1) & (size &- 1))
      precondition(last == chain.id, "another chain was taken later")
    }
    inFlight[chain.id] = InFlightTable.Slot()
    inFlightCount &-= 1
    nextAvailable &-= 1
  }

  // MARK: Giving chains back

  /// `stage` and `publish` in one.
  @inline(__always)
  mutating func push(_ chain: borrowing Chain, written: UInt32) {
    stage(chain, written: written)
    publish()
  }

  @inline(__always)
  mutating func stage(_ chain: borrowing Chain, written: UInt32) {
    let id = chain.id
    let slot = inFlight[id]
    precondition(slot.isWithDevice, "chain is not in flight")
    if inOrder {
      stageInOrder(id, written)
    } else {
      inFlight[id] = InFlightTable.Slot()
      putUsed(id, written)
    }
  }

  /// Marks a chain as done, then puts out all that are done and have nothing older before them.
  @inline(never)
  private mutating func stageInOrder(_ id: UInt16, _ written: UInt32) {
    inFlight[id] = InFlightTable.Slot(doneWith: inFlight[id], written: written)
    while inFlightCount > 0 {
      let first = inFlight.orderedID(oldest)
      let done = inFlight[first]
      guard done.isDone else { break }
      inFlight[first] = InFlightTable.Slot()
      oldest = (oldest &+ 1) & (size &- 1)
      putUsed(first, done.written)
    }
  }

  @inline(__always)
  private mutating func putUsed(_ id: UInt16, _ written: UInt32) {
    ring.storeUsed(nextUsed, id: id, written: written)
    nextUsed &+= 1
    inFlightCount &-= 1
  }

  @inline(__always)
  mutating func publish() {
    ring.publishUsedIndex(nextUsed)
    publishedSinceAsked &+= UInt64(nextUsed &- publishedUsed)
    publishedUsed = nextUsed
  }

  // MARK: Kicks and calls

  mutating func disableKicks() {
    if !eventIndex { ring.storeUsedFlags(RingFlag.noNotify) }
    // With EVENT_IDX an old avail_event is quiet by itself.
  }

  mutating func enableKicks() throws(RingError) -> Bool {
    if eventIndex {
      ring.storeAvailableEvent(nextAvailable)
    } else {
      ring.storeUsedFlags(0)
    }
    // Pairs with the driver's fence between storing avail.idx and loading our word.
    fullFence()
    return try lookAgain()
  }

  mutating func needsCall() -> Bool {
    let count = publishedSinceAsked
    guard count > 0 else { return false }
    publishedSinceAsked = 0
    // Pairs with the driver's fence between storing its word and loading used.idx.
    fullFence()
    if notifyOnEmpty, ring.availableIndex == nextAvailable { return true }
    guard eventIndex else { return ring.availableFlags & RingFlag.noInterrupt == 0 }
    // After 2^16 chains the index has passed every value.
    guard count <= UInt64(UInt16.max) else { return true }
    // Whether the index the driver named was passed (virtio 1.3, 2.7.10).
    let event = ring.usedEvent
    return publishedUsed &- event &- 1 < UInt16(truncatingIfNeeded: count)
  }

  /// Whether the driver has made something available that was not taken yet.
  mutating func hasMore() throws(RingError) -> Bool {
    if nextAvailable != seenAvailable { return true }
    return try lookAgain()
  }

  var position: RingPosition {
    RingPosition(nextAvailable: nextAvailable, nextUsed: nextUsed)
  }

  func checkInvariants() {
    precondition(inFlightCount <= size)
    precondition(room <= size && seenAvailable &- nextAvailable <= room)
    var taken: UInt16 = 0
    for id in 0..<size {
      let slot = inFlight[id]
      precondition(slot.descriptors <= size)
      precondition(slot.descriptors > 0 || (!slot.isDone && slot.written == 0))
      precondition(!slot.isDone || inOrder)
      if slot.descriptors > 0 { taken += 1 }
    }
    precondition(taken == inFlightCount)
    if inOrder, inFlightCount > 0 {
      precondition(!inFlight[inFlight.orderedID(oldest)].isDone)
      for step in 0..<inFlightCount {
        let id = inFlight.orderedID((oldest &+ step) & (size &- 1))
        precondition(inFlight[id].descriptors > 0)
      }
    }
  }
}
