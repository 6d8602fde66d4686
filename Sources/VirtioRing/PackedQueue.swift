// SPDX-License-Identifier: Apache-2.0
//
// PackedQueue: the device's end of a packed ring (virtio 1.3, 2.8).
//
// One ring of descriptors that both sides write. Each keeps a wrap counter that flips when it passes
// the end: a descriptor is available where its AVAIL bit equals the driver's counter and its USED
// bit does not, and used where both equal the device's. A chain of n descriptors takes n slots; its
// used descriptor goes to the next used slot, wherever the chain stood, and n slots are skipped.
// Several used descriptors become visible together when the flags of the first are written last.

/// A packed ring's device side.
struct PackedQueue: ~Copyable {
  private var ring: PackedRingMemory
  private var inOrder: Bool
  private let indirect: Bool
  private let eventIndex: Bool

  /// Where the driver's next descriptor comes.
  private var available: PackedPlace
  /// Where the next used descriptor goes.
  private var used: PackedPlace
  /// Whether the entries of indirect tables are device-readable, whatever they say.
  var readsTables = false
  /// The first used descriptor that is not visible yet, and its flags.
  private var firstStaged: PackedPlace
  private var firstStagedFlags: UInt16 = 0
  /// Slots of chains that are staged and not yet visible.
  private var stagedSlots: UInt16 = 0
  /// Slots that became visible since the driver was last asked whether it wants a call.
  private var publishedSinceAsked: UInt64 = 0
  private var lastHit: GuestRegion

  private let inFlight: InFlightTable
  private(set) var inFlightCount: UInt16 = 0
  private var oldest: UInt16 = 0
  /// Slots of the ring that chains in flight take. Apart from their count: side by side the two would be
  /// loaded as one word after they were stored one by one, which waits for the stores.
  private var inFlightDescriptors: UInt16 = 0
  /// Slots of chains that an earlier device took and did not give back.
  private let inheritedDescriptors: Int

  init(
    _ configuration: QueueConfiguration, ring: PackedRingMemory, memory: borrowing GuestMemory
  ) {
    self.ring = ring
    let features = configuration.features
    inOrder = features.contains(.inOrder)
    indirect = features.contains(.indirectDescriptors)
    eventIndex = features.contains(.eventIndex)
    let position = configuration.position
    available = ring.place(position.nextAvailable, wrap: position.availableWrap)
    if let nextUsed = position.nextUsed {
      used = ring.place(nextUsed, wrap: position.usedWrap)
    } else {
      used = available
    }
    firstStaged = used
    inheritedDescriptors =
      Int(available.slot) - Int(used.slot)
      + (available.marks == used.marks ? 0 : Int(configuration.size))
    lastHit = memory[0]
    inFlight = InFlightTable(size: configuration.size)
  }

  /// Gives chains back in the order in which they are taken, from now on. - Precondition: nothing is in flight.
  mutating func keepOrder() {
    precondition(inFlightCount == 0, "a chain was taken without its place in the order")
    inOrder = true
  }

  /// Goes on with the same ring in another memory. - Precondition: nothing is in flight.
  mutating func move(to ring: PackedRingMemory, memory: borrowing GuestMemory) {
    precondition(inFlightCount == 0 && stagedSlots == 0)
    self.ring = ring
    lastHit = memory[0]
  }

  private var size: UInt16 {
    @inline(__always) get { inFlight.size }
  }

  /// The most entries that an indirect table may have.
  private var chainLimit: Int { max(Int(size), Virtqueue.minimumChainLimit) }

  // MARK: Taking chains

  /// Whether flags mark a descriptor that the driver has made available in this round.
  @inline(__always)
  private func isAvailable(_ flags: UInt16, at place: PackedPlace) -> Bool {
    flags & PackedPlace.bothMarks == place.marks
  }

  @inline(__always)
  mutating func pop(
    _ memory: borrowing GuestMemory, into chain: inout Chain
  ) throws(RingError) -> Bool {
    let first = ring.descriptor(available)
    guard isAvailable(first.packedFlags, at: available) else { return false }
    // All slots are taken: what looks available is a chain in flight.
    guard room > 0 else { throw .headInFlight }
    if first.packedFlags & RingFlag.indirect != 0 {
      try takeTable(first, memory, into: &chain)
    } else {
      try takeDirect(first, memory, into: &chain)
    }
    return true
  }

  /// Slots that no chain takes which the driver has not seen used: a chain has so many at most.
  @inline(__always)
  private var room: UInt16 { size &- inFlightDescriptors &- stagedSlots }

  /// Walks a chain that begins in the ring.
  @inline(__always)
  private mutating func takeDirect(
    _ first: Descriptor, _ memory: borrowing GuestMemory, into chain: inout Chain
  ) throws(RingError) {
    var builder = ChainBuilder(chain, lastHit: lastHit)
    var descriptor = first
    var place = available
    var count: UInt16 = 0
    while true {
      ring.advance(&place)
      // At most the ring's size: there is room for one more wherever this is reached.
      count &+= 1
      let flags = descriptor.packedFlags
      try builder.append(descriptor, isWritable: flags & RingFlag.write != 0, in: memory)
      guard flags & RingFlag.next != 0 else { break }
      guard count < room else { throw .chainTooLong }
      descriptor = ring.descriptor(place)
      // One comparison for what is nearly always so: available and not indirect.
      guard descriptor.packedFlags & (PackedPlace.bothMarks | RingFlag.indirect) == place.marks
      else {
        // The driver publishes the head last, so the rest must be there with it.
        guard isAvailable(descriptor.packedFlags, at: place) else {
          throw .descriptorNotAvailable
        }
        try checkIndirect(descriptor)
        builder = try builder.appendingTable(
          descriptor, followsNext: false, ignoresWrite: readsTables, limit: chainLimit, in: memory)
        ring.advance(&place)
        count &+= 1
        break
      }
    }
    try finish(builder, last: descriptor, count, &chain)
    available = place
  }

  /// Walks a chain that is all in an indirect table. A function of its own, so that the direct walk keeps
  /// its registers.
  @inline(never)
  private mutating func takeTable(
    _ first: Descriptor, _ memory: borrowing GuestMemory, into chain: inout Chain
  ) throws(RingError) {
    try checkIndirect(first)
    var builder = ChainBuilder(chain, lastHit: lastHit)
    try builder.appendTable(
      first, followsNext: false, ignoresWrite: readsTables, limit: chainLimit, in: memory)
    try finish(builder, last: first, 1, &chain)
    ring.advance(&available)
  }

  @inline(__always)
  private func checkIndirect(_ descriptor: Descriptor) throws(RingError) {
    guard indirect else { throw .indirectNotNegotiated }
    guard descriptor.packedFlags & RingFlag.next == 0 else { throw .indirectWithNext }
  }

  @inline(__always)
  private mutating func finish(
    _ builder: ChainBuilder, last: Descriptor, _ count: UInt16, _ chain: inout Chain
  ) throws(RingError) {
    // The id counts in the last descriptor of a chain (2.8.6).
    let id = last.packedID
    guard let slot = inFlight.slot(id) else { throw .idOutOfRange }
    guard slot.descriptors == 0 else { throw .headInFlight }
    try builder.finish(&chain, id: id, descriptorCount: count)
    if builder.lastHit.guestAddress != lastHit.guestAddress { lastHit = builder.lastHit }
    inFlight[id] = InFlightTable.Slot(descriptors: count)
    if inOrder { inFlight.setOrderedID(orderPosition(inFlightCount), id) }
    inFlightCount &+= 1
    inFlightDescriptors &+= count
  }

  /// Where in the order the chain `step` places behind the oldest stands.
  @inline(__always)
  private func orderPosition(_ step: UInt16) -> UInt16 {
    // Both are at most 32768, so the sum may pass 2^16 only as 65536 and is taken in 32 bits.
    let sum = UInt32(oldest) &+ UInt32(step)
    return UInt16(truncatingIfNeeded: sum >= UInt32(size) ? sum &- UInt32(size) : sum)
  }

  mutating func unpop(_ chain: borrowing Chain) {
    let slot = inFlight[chain.id]
    let count = slot.descriptors
    precondition(slot.isWithDevice, "chain is not in flight")
    if inOrder {
      let last = inFlight.orderedID(orderPosition(inFlightCount &- 1))
      precondition(last == chain.id, "another chain was taken later")
    }
    inFlight[chain.id] = InFlightTable.Slot()
    inFlightCount &-= 1
    inFlightDescriptors &-= count
    ring.retreat(&available, by: count)
  }

  // MARK: Giving chains back

  /// `stage` and `publish` in one. Where nothing waits to become visible there is nothing to remember.
  @inline(__always)
  mutating func push(_ chain: borrowing Chain, written: UInt32) {
    guard !inOrder, stagedSlots == 0 else { return pushBehindOthers(chain, written: written) }
    let id = chain.id
    let slot = inFlight[id]
    precondition(slot.isWithDevice, "chain is not in flight")
    inFlight[id] = InFlightTable.Slot()
    let descriptors = slot.descriptors
    ring.storeUsed(used, id: id, written: written)
    ring.publishFlags(used, usedFlags(written))
    publishedSinceAsked &+= UInt64(descriptors)
    inFlightCount &-= 1
    inFlightDescriptors &-= descriptors
    ring.advance(&used, by: descriptors)
  }

  @inline(never)
  private mutating func pushBehindOthers(_ chain: borrowing Chain, written: UInt32) {
    stage(chain, written: written)
    publish()
  }

  /// The flags of the next used descriptor.
  @inline(__always)
  private func usedFlags(_ written: UInt32) -> UInt16 {
    (used.wrap ? PackedPlace.bothMarks : 0) | (written > 0 ? RingFlag.write : 0)
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
      putUsed(id, written, descriptors: slot.descriptors)
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
      oldest = orderPosition(1)
      putUsed(first, done.written, descriptors: done.descriptors)
    }
  }

  @inline(__always)
  private mutating func putUsed(_ id: UInt16, _ written: UInt32, descriptors: UInt16) {
    ring.storeUsed(used, id: id, written: written)
    let flags = usedFlags(written)
    if stagedSlots > 0 {
      ring.publishFlags(used, flags)
    } else {
      firstStaged = used
      firstStagedFlags = flags
    }
    stagedSlots &+= descriptors
    inFlightCount &-= 1
    inFlightDescriptors &-= descriptors
    ring.advance(&used, by: descriptors)
  }

  @inline(__always)
  mutating func publish() {
    guard stagedSlots > 0 else { return }
    ring.publishFlags(firstStaged, firstStagedFlags)
    publishedSinceAsked &+= UInt64(stagedSlots)
    stagedSlots = 0
  }

  // MARK: Kicks and calls

  mutating func disableKicks() {
    ring.storeDeviceEvent(offsetAndWrap: 0, flags: RingFlag.eventsDisabled)
  }

  mutating func enableKicks() -> Bool {
    if eventIndex {
      ring.storeDeviceEvent(
        offsetAndWrap: available.slot | (available.wrap ? 0x8000 : 0),
        flags: RingFlag.eventsAtPosition)
    } else {
      ring.storeDeviceEvent(offsetAndWrap: 0, flags: RingFlag.eventsEnabled)
    }
    // Pairs with the driver's fence between its descriptor's flags and loading our word.
    fullFence()
    return hasMore()
  }

  mutating func needsCall() -> Bool {
    let count = publishedSinceAsked
    guard count > 0 else { return false }
    publishedSinceAsked = 0
    // Pairs with the driver's fence between storing its word and looking at the ring.
    fullFence()
    let word = ring.driverEventWord
    let flags = UInt16(truncatingIfNeeded: word >> 16) & 3
    if flags == RingFlag.eventsDisabled { return false }
    // An offset and a wrap counter tell positions apart over two rounds, the one behind and the one
    // ahead: whether a position was passed longer ago than that, they do not say.
    guard eventIndex, flags == RingFlag.eventsAtPosition, count <= UInt64(size) else {
      return true
    }
    // Positions as if the ring went on for ever: one of the other round is taken to lie a ring's
    // length back. If the driver meant the one ahead, it is too far back to have been passed now.
    let offsetAndWrap = UInt16(truncatingIfNeeded: word)
    var event = offsetAndWrap & 0x7fff
    let published = stagedSlots > 0 ? firstStaged : used
    if (offsetAndWrap & 0x8000 != 0) != published.wrap { event &-= size }
    return published.slot &- event &- 1 < UInt16(truncatingIfNeeded: count)
  }

  func hasMore() -> Bool { isAvailable(ring.flags(available), at: available) }

  var position: RingPosition {
    RingPosition(
      nextAvailable: available.slot, nextUsed: used.slot, availableWrap: available.wrap,
      usedWrap: used.wrap)
  }

  func checkInvariants() {
    precondition(available.slot < size && used.slot < size)
    precondition(inFlightCount <= inFlightDescriptors && inFlightDescriptors <= size)
    var chains: UInt16 = 0
    var descriptors = 0
    for id in 0..<size {
      let slot = inFlight[id]
      precondition(slot.descriptors > 0 || (!slot.isDone && slot.written == 0))
      precondition(!slot.isDone || inOrder)
      if slot.descriptors > 0 { chains += 1 }
      descriptors += Int(slot.descriptors)
    }
    precondition(chains == inFlightCount && descriptors == Int(inFlightDescriptors))
    // The used position runs behind the available one by exactly what is in flight.
    let sameRound = available.marks == used.marks
    let distance = Int(available.slot) - Int(used.slot) + (sameRound ? 0 : Int(size))
    precondition(distance == descriptors + inheritedDescriptors)
    precondition(UInt32(inFlightDescriptors) + UInt32(stagedSlots) <= UInt32(size))
    if inOrder, inFlightCount > 0 {
      precondition(!inFlight[inFlight.orderedID(oldest)].isDone)
      for step in 0..<inFlightCount {
        precondition(inFlight[inFlight.orderedID(orderPosition(step))].descriptors > 0)
      }
    }
  }
}
