// SPDX-License-Identifier: Apache-2.0
//
// RingHarness: one ring with an honest driver, the device, and the reference model beside them.
//
// Each step takes one action of the driver or of the device from a stream of decisions and compares
// what the ring says with what the model says. The randomized test feeds it from a seeded generator,
// the fuzzers from their input; these also have the step that writes any word of the ring
// (RingHarness+Hostile.swift). From then on there is nothing to compare, but what a driver can never
// reach must still hold: no trap, segments in guest memory only, private state in order.

public import VirtioRing
import VirtioTesting

/// What did not agree with the model.
public struct RingDisagreement: Error, CustomStringConvertible {
  /// Where and what.
  public let description: String
}

/// A driver, a device and the model on one ring.
public struct RingHarness: ~Copyable {
  let scene: RingScene
  var driver: Driver
  var queue: Virtqueue
  var model: RingModel
  /// Whether the driver has kept to the rules, so that the model knows what to expect.
  var isHonest = true

  // The device's chains.
  static let segmentCapacity = 40
  var pool: ChainPool
  var freeSlots: [Int] = []
  /// Chains with the device: their slots in the pool, their numbers in the model.
  var inFlight: [(slot: Int, chain: Int)] = []
  /// How many of the last chains in flight were taken one after the other with none of them staged:
  /// the last of them can be given back to the ring.
  var returnable = 0

  /// The shared table is in use.
  private var isSharedTableTaken = false
  private var driverSleeps = false
  private var deviceSleeps = false

  /// Chains that the driver has collected.
  public private(set) var collectedCount = 0
  /// Chains that the device has taken, those that it gave back to the ring counted again.
  public private(set) var takenCount = 0
  /// Steps that were taken.
  public private(set) var stepCount = 0

  /// Sets a ring up.
  public init(_ scenario: RingScenario) throws(RingError) {
    let scene = RingScene(scenario)
    self.scene = scene
    driver = Driver(
      scene.plan, memory: scene.memory, features: scene.features, start: scenario.start,
      wrap: scenario.wrap)
    queue = try Virtqueue(driver.configuration, memory: scene.memory.guestMemory)
    model = RingModel(
      isPacked: scenario.isPacked, size: Int(scenario.size),
      eventIndex: scene.features.contains(.eventIndex),
      inOrder: scene.features.contains(.inOrder),
      notifyOnEmpty: scene.features.contains(.notifyOnEmpty))
    let poolSize = min(Int(scenario.size), 64)
    pool = ChainPool(count: poolSize, segmentCapacity: Self.segmentCapacity)
    freeSlots = Array((0..<poolSize).reversed())
    inFlight.reserveCapacity(poolSize)
  }

  /// Throws where `condition` does not hold while the driver is honest.
  @inline(__always)
  func expect(
    _ condition: Bool, _ message: @autoclosure () -> String
  ) throws(RingDisagreement) {
    guard isHonest, !condition else { return }
    throw RingDisagreement(
      description: "step \(stepCount) of \(scene.scenario): \(message())")
  }

  /// The error that an honest driver never causes.
  func fail(_ error: any Error) throws(RingDisagreement) {
    try expect(false, "the ring refused honest work: \(error)")
  }

  /// Takes one honest action of either side.
  public mutating func step<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    stepCount += 1
    switch choices.below(32) {
    case 0...7: try offer(&choices)
    case 8...10: publishOffers()
    case 11...12: try askKick()
    case 13...17: try take()
    case 18...20: try use(&choices, publish: true)
    case 21...22: try use(&choices, publish: false)
    case 23: publishUsed()
    case 24: try askCall()
    case 25: try giveBack()
    case 26: try sleepOrWork(&choices)
    case 27...29: try collect()
    case 30: try driverSleepsOrWorks(&choices)
    default: try rareAction(&choices)
    }
    checkInvariants()
    try checkNobodyWaits()
  }

  /// Ends whatever was begun: everything is published, used and collected.
  public mutating func drain<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    driverSleeps = false
    deviceSleeps = false
    publishOffers()
    while model.collected < model.offered {
      stepCount += 1
      let before = model.collected
      while model.nextAvailable != nil, !freeSlots.isEmpty { try take() }
      while !inFlight.isEmpty { try use(&choices, publish: false) }
      publishUsed()
      while model.nextUsed != nil { try collect() }
      queue._checkInvariants()
      try expect(model.collected > before, "the ring is stuck")
    }
    try expect(driver.freeCount == model.size, "descriptors are lost")
    try expect(driver.inFlightCount == 0, "chains are lost")
  }

  private func checkInvariants() {
    // It looks at every entry of the ring: for long rings not after every step.
    if model.size <= 64 || stepCount % (model.size / 32) == 0 { queue._checkInvariants() }
  }

  /// A side that sleeps while there is something for it, and that the other side has considered, has
  /// lost a wake-up.
  private func checkNobodyWaits() throws(RingDisagreement) {
    if deviceSleeps, model.isKickAsked {
      try expect(model.published == model.taken, "a kick was lost")
    }
    if driverSleeps, model.isCallAsked {
      switch model.callWish {
      case .never: break
      case .always: try expect(model.visible == model.collected, "a call was lost")
      case .at(let position):
        try expect(model.visiblePosition <= position, "a call was lost")
      }
    }
  }
}

// MARK: The driver's actions

extension RingHarness {
  mutating func offer<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    // A hostile driver's chains are not the model's: any number will do.
    guard let chain = isHonest ? model.nextChain : 0 else { return }
    let isIndirect = scene.features.contains(.indirectDescriptors) && choices.below(2) == 1
    let limit = isIndirect ? RingScene.indirectCapacity : min(RingModel.maximumBuffers, model.size)
    let count = 1 + choices.below(min(limit, 1 + choices.below(limit)))
    let readable = choices.below(count + 1)
    for index in 0..<count {
      let isFar = choices.oneIn(8)
      let range = isFar ? scene.far : scene.arena
      let room = range.upperBound - range.lowerBound
      let length = choices.below(16) < 15 ? choices.below(256) : choices.below(Int(room) + 1)
      let offset = choices.below(Int(room) - length + 1)
      let buffer = DriverBuffer(
        address: range.lowerBound + UInt64(offset), byteCount: UInt32(length),
        isWritable: index >= readable)
      model.setBuffer(index, of: chain, buffer)
    }
    var facts = ModelChain(slots: isIndirect ? 1 : count, bufferCount: count)
    let shape = isIndirect ? indirectShape(&choices, count, &facts) : .direct
    let driverHasRoom = driver.freeCount >= facts.slots
    let offered = stage(chain, count, shape)
    try expect(offered == driverHasRoom, "a chain of \(facts.slots) slots: offered \(offered)")
    guard offered, isHonest else { return }
    if facts.usesSharedTable { isSharedTableTaken = true }
    model.offer(facts)
  }

  private mutating func indirectShape<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices, _ count: Int, _ facts: inout ModelChain
  ) -> ChainShape {
    switch choices.below(8) {
    case 0 where !isSharedTableTaken:
      facts.usesSharedTable = true
      return .indirectAt(scene.sharedTable)
    case 1 where !model.isPacked && count >= 2 && model.size >= 2:
      let direct = 1 + choices.below(min(count, model.size) - 1)
      facts.slots = direct + 1
      return .indirectAfter(direct)
    default: return .indirect
    }
  }

  private mutating func stage(_ chain: Int, _ count: Int, _ shape: ChainShape) -> Bool {
    let first = chain * RingModel.maximumBuffers
    let buffers = model.buffers
    return driver.stage(
      buffers.span.extracting(first..<first + count), shape: shape, token: UInt64(chain))
  }

  mutating func publishOffers() {
    driver.publish()
    model.publishOffers()
  }

  mutating func askKick() throws(RingDisagreement) {
    let due = model.askKick()
    let kicks = driver.needsKick()
    try expect(kicks == due, "kick \(kicks), due \(due), wish \(model.kickWish)")
    if kicks { deviceSleeps = false }
  }

  mutating func collect() throws(RingDisagreement) {
    guard !driverSleeps || !isHonest else { return }
    let used: UsedChain?
    do { used = try driver.collect() } catch {
      try expect(false, "the device broke the rules: \(error)")
      return
    }
    guard isHonest else { return }
    guard let used else {
      try expect(model.nextUsed == nil, "a used chain does not show")
      return
    }
    guard let chain = model.nextUsed else {
      try expect(false, "chain \(used.token) was collected before its time")
      return
    }
    try expect(
      used.token == UInt64(chain), "chain \(used.token) was collected instead of \(chain)")
    try expect(used.written == model[chain].written, "bytes written: \(used.written)")
    if model[chain].usesSharedTable { isSharedTableTaken = false }
    model.collect(chain)
    collectedCount += 1
  }

  mutating func driverSleepsOrWorks<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    switch choices.below(4) {
    case 0:
      driverSleeps = false
      driver.suppressCalls()
      model.callWish =
        model.eventIndex && !model.isPacked ? .at(model.collectedPosition - 1) : .never
    default:
      // Only a driver that finds nothing goes to sleep.
      let count = choices.below(2) == 0 ? 1 : 1 + choices.below(model.size)
      let isThere = driver.requestCall(after: UInt16(count))
      model.callWish = model.eventIndex ? .at(model.collectedPosition + count - 1) : .always
      let wanted = model.eventIndex && !model.isPacked ? count : 1
      let expected = model.visible - model.collected >= wanted
      try expect(isThere == expected, "call request: \(isThere), expected \(expected)")
      driverSleeps = !isThere
    // A call that is due for what became visible before may have been asked for already.
    }
  }
}

// MARK: The device's actions

extension RingHarness {
  mutating func take() throws(RingDisagreement) {
    guard !deviceSleeps || !isHonest, let slot = freeSlots.last else { return }
    let taken: Bool
    do { taken = try queue.pop(into: &pool, at: slot) } catch {
      try fail(error)
      checkFaultStays(error)
      return
    }
    if taken { takenCount += 1 }
    guard isHonest else {
      if taken { keepHostileChain(slot) }
      return
    }
    guard let chain = model.nextAvailable else {
      try expect(!taken, "a chain was taken before its time")
      return
    }
    try expect(taken, "an available chain was not taken")
    try compareSegments(slot, chain)
    freeSlots.removeLast()
    inFlight.append((slot, chain))
    returnable += 1
    model.take(chain)
  }

  /// Compares every segment with where the model finds the buffers, region after region.
  private func compareSegments(_ slot: Int, _ chain: Int) throws(RingDisagreement) {
    var index = 0
    var readableBytes = 0
    var writableBytes = 0
    let table = scene.memory.guestMemory
    let segmentCount = pool[slot].readableCount + pool[slot].writableCount
    for position in 0..<model[chain].bufferCount {
      let buffer = model.buffer(position, of: chain)
      if buffer.isWritable {
        writableBytes += Int(buffer.byteCount)
      } else {
        readableBytes += Int(buffer.byteCount)
      }
      var address = buffer.address
      var remaining = UInt64(buffer.byteCount)
      for number in 0..<table.regionCount where remaining > 0 {
        let region = table[number]
        guard address >= region.guestAddress, address < region.guestAddress + region.byteCount
        else { continue }
        let offset = address - region.guestAddress
        var piece = min(remaining, region.byteCount - offset)
        // The device may know the same memory in smaller regions.
        while piece > 0 {
          try expect(index < segmentCount, "a segment is missing")
          let found = segment(index, of: pool[slot])
          try expect(
            found.address == region.hostAddress + UInt(address - region.guestAddress)
              && UInt64(found.byteCount) <= piece && found.byteCount > 0
              && (index < pool[slot].readableCount) == !buffer.isWritable,
            "segment \(index) is \(found)")
          guard isHonest else { return }
          piece -= UInt64(found.byteCount)
          remaining -= UInt64(found.byteCount)
          address += UInt64(found.byteCount)
          index += 1
        }
      }
    }
    try expect(index == segmentCount, "there are \(segmentCount) segments, expected \(index)")
    try expect(pool[slot].readableBytes == readableBytes, "readable bytes")
    try expect(pool[slot].writableBytes == writableBytes, "writable bytes")
  }

  mutating func use<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices, publish: Bool
  ) throws(RingDisagreement) {
    guard !inFlight.isEmpty else { return }
    let index = choices.below(4) < 3 ? 0 : choices.below(inFlight.count)
    let (slot, chain) = inFlight.remove(at: index)
    returnable = min(returnable, inFlight.count - index)
    let written = UInt32(choices.below(min(65535, pool[slot].writableBytes) + 1))
    Self.giveBack(pool, slot, to: &queue, written: written, publish: publish)
    freeSlots.append(slot)
    guard isHonest else { return }
    model.use(chain, written: written)
    if publish { model.publishUsed() }
  }

  // Static, and given the pool rather than its chain: else the compiler takes both accesses for
  // accesses to all of this value.
  private static func giveBack(
    _ pool: borrowing ChainPool, _ slot: Int, to queue: inout Virtqueue, written: UInt32,
    publish: Bool
  ) {
    if publish {
      queue.push(pool[slot], written: written)
    } else {
      queue.stage(pool[slot], written: written)
    }
  }

  private static func unpop(
    _ pool: borrowing ChainPool, _ slot: Int, to queue: inout Virtqueue
  ) {
    queue.unpop(pool[slot])
  }

  mutating func publishUsed() {
    queue.publish()
    model.publishUsed()
  }

  mutating func askCall() throws(RingDisagreement) {
    let calls = queue.needsCall()
    guard isHonest else { return }
    let due = model.askCall()
    try expect(calls == due, "call \(calls), due \(due), wish \(model.callWish)")
    if calls { driverSleeps = false }
  }

  mutating func giveBack() throws(RingDisagreement) {
    // A device that sleeps has nothing that it would not serve.
    guard !deviceSleeps, returnable > 0, let (slot, chain) = inFlight.popLast() else { return }
    Self.unpop(pool, slot, to: &queue)
    freeSlots.append(slot)
    returnable -= 1
    guard isHonest else { return }
    model.giveBack(chain)
  }

  mutating func sleepOrWork<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    if choices.below(3) == 0 {
      deviceSleeps = false
      queue.disableKicks()
      if model.isPacked || !model.eventIndex { model.kickWish = .never }
      return
    }
    let isThere: Bool
    do { isThere = try queue.enableKicks() } catch {
      try fail(error)
      checkFaultStays(error)
      return
    }
    guard isHonest else { return }
    model.kickWish = model.eventIndex ? .at(model.takenPosition) : .always
    try expect(isThere == (model.published > model.taken), "more to take: \(isThere)")
    deviceSleeps = !isThere
  }

  // MARK: What happens seldom

  private mutating func rareAction<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    switch choices.below(8) {
    case 0...3: try lookForMore()
    case 4: deviceSleeps = false
    case 5: driverSleeps = false
    case 6: try changeMemory(&choices)
    default: try resume(&choices)
    }
  }

  private mutating func lookForMore() throws(RingDisagreement) {
    let more: Bool
    do { more = try queue.hasMore() } catch {
      try fail(error)
      return
    }
    try expect(more == (model.published > model.taken), "more to take: \(more)")
  }

  /// Goes on in a table that knows the same memory in other regions.
  private mutating func changeMemory<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    guard queue.inFlightCount == 0, queue.fault == nil else { return }
    queue.publish()
    model.publishUsed()
    // Not the first region, which holds the ring.
    let regions = scene.memory.guestMemory.regionCount
    let cut = choices.below(regions)
    guard let table = cut == 0 ? scene.memory.guestMemory : recut(scene.memory, region: cut)
    else { return }
    do { try queue.replaceMemory(table) } catch { try fail(error) }
  }

  /// Goes on with a new queue where the old one stood, as after a stop.
  private mutating func resume<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    guard queue.inFlightCount == 0, queue.fault == nil else { return }
    queue.publish()
    model.publishUsed()
    try askCall()
    var configuration = driver.configuration
    configuration.position = queue.position
    if choices.below(2) == 1 { configuration.position.nextUsed = nil }
    do {
      queue = try Virtqueue(configuration, memory: scene.memory.guestMemory)
    } catch { try fail(error) }
  }
}
