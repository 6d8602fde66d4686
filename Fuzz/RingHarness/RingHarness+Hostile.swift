// SPDX-License-Identifier: Apache-2.0
//
// The driver that keeps to nothing: it writes any word of the ring, the tables and the event words, at
// any time. What must hold then does not depend on it.

import VirtioRing
import VirtioTesting

extension RingHarness {
  /// Takes one action of either side, hostile ones among them.
  public mutating func hostileStep<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) throws(RingDisagreement) {
    switch choices.below(8) {
    case 0: writeDescriptor(&choices)
    case 1: writeRingWord(&choices)
    default: try step(&choices)
    }
  }

  /// Checks what holds of every chain, whatever the driver did, uses its bytes, and keeps it.
  mutating func keepHostileChain(_ slot: Int) {
    freeSlots.removeLast()
    let readable = pool[slot].readableCount
    let count = readable + pool[slot].writableCount
    precondition(count <= Self.segmentCapacity)
    var bytes = (readable: 0, writable: 0)
    for index in 0..<count {
      let found = segment(index, of: pool[slot])
      precondition(found.byteCount > 0 && isInGuestMemory(found), "a segment outside guest memory")
      if index < readable { bytes.readable += found.byteCount }
      if index >= readable { bytes.writable += found.byteCount }
    }
    precondition(bytes.readable == pool[slot].readableBytes)
    precondition(bytes.writable == pool[slot].writableBytes)
    precondition(bytes.readable + bytes.writable <= Int(UInt32.max))
    // The first and the last bytes: AddressSanitizer looks at these.
    let sum =
      (pool[slot].load(UInt64.self, at: 0) ?? 0)
      &+ (pool[slot].load(UInt64.self, at: max(0, bytes.readable - 8)) ?? 0)
    pool[slot].store(sum, at: 0)
    pool[slot].store(sum, at: max(0, bytes.writable - 8))
    inFlight.append((slot, -1))
    returnable += 1
  }

  private func isInGuestMemory(_ segment: IOVector) -> Bool {
    let table = scene.memory.guestMemory
    return (0..<table.regionCount).contains { number in
      let region = table[number]
      guard segment.address >= region.hostAddress else { return false }
      let offset = UInt64(segment.address - region.hostAddress)
      return offset < region.byteCount
        && UInt64(segment.byteCount) <= region.byteCount - offset
    }
  }

  /// A broken queue stays broken, with the same error.
  mutating func checkFaultStays(_ error: RingError) {
    precondition(queue.fault == error)
    guard let slot = freeSlots.last else { return }
    do {
      _ = try queue.pop(into: &pool, at: slot)
      preconditionFailure("a broken queue gave a chain")
    } catch { precondition(error == queue.fault) }
  }

  // MARK: Writing words

  /// Writes a descriptor of the ring or of a table.
  private mutating func writeDescriptor<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) {
    isHonest = false
    let address = hostileAddress(&choices)
    let byteCount = hostileLength(&choices)
    let index = UInt16(choices.below(model.size))
    var flags = UInt16(choices.below(8))
    if choices.oneIn(4) { flags = UInt16(truncatingIfNeeded: choices.word()) }
    let next = hostileNumber(&choices)
    let table: UInt64?
    switch choices.below(3) {
    case 0: table = scene.plan.indirectTables + UInt64(choices.below(64)) * 16
    case 1: table = scene.sharedTable + UInt64(choices.below(8)) * 16
    default: table = nil
    }
    let place = table.flatMap { scene.memory.holds($0, byteCount: 16) ? $0 : nil }
    if model.isPacked {
      let ring = RawPackedRing(scene.plan, memory: scene.memory)
      if table == nil { flags |= RawPackedRing.availableFlags(wrap: choices.below(2) == 0) }
      scene.memory.setPackedDescriptor(
        at: place ?? ring.descriptor(index), address: address, byteCount: byteCount, id: next,
        flags: flags)
    } else {
      let ring = RawSplitRing(scene.plan, memory: scene.memory)
      scene.memory.setSplitDescriptor(
        at: place ?? ring.descriptor(index), address: address, byteCount: byteCount,
        flags: flags, next: next)
    }
  }

  /// Writes an index, an entry, flags or an event word.
  private mutating func writeRingWord<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) {
    isHonest = false
    let kind = choices.below(8)
    let index = UInt16(choices.below(model.size))
    let value = hostileNumber(&choices)
    if model.isPacked {
      let ring = RawPackedRing(scene.plan, memory: scene.memory)
      switch kind {
      case 0...3: ring.setFlags(index, value << 7 | value & 7)
      case 4: ring.setFlags(index, value)
      case 5: ring.driverEventWord = (offsetAndWrap: value, flags: index)
      case 6: ring.deviceEventWord = (offsetAndWrap: value, flags: index)
      default: scene.memory.store(value, at: ring.descriptor(index) + 12)
      }
      return
    }
    let ring = RawSplitRing(scene.plan, memory: scene.memory)
    switch kind {
    case 0...1: ring.availableIndex &+= value
    case 2: ring.availableIndex = value
    case 3: scene.memory.store(value, at: ring.availableEntry(index))
    case 4: ring.usedEvent = value
    case 5: ring.availableFlags = value
    case 6: ring.usedIndex = value
    default: scene.memory.store(value, at: ring.usedEntry(index))
    }
  }

  /// A number near something that matters, or any.
  private func hostileNumber<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) -> UInt16 {
    switch choices.below(4) {
    case 0: UInt16(choices.below(model.size))
    case 1: UInt16(truncatingIfNeeded: model.size + choices.below(3) - 1)
    case 2: UInt16(choices.below(4))
    default: UInt16(truncatingIfNeeded: choices.word())
    }
  }

  private func hostileAddress<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) -> UInt64 {
    let offset = UInt64(choices.below(64))
    switch choices.below(10) {
    case 0: return offset
    case 1: return scene.arena.lowerBound &+ offset &* 16
    case 2: return scene.arena.upperBound &- offset
    case 3: return scene.far.upperBound &- offset
    case 4: return UInt64.max &- offset
    case 5: return scene.plan.indirectTables &+ offset &* 16
    case 6: return scene.sharedTable &+ offset
    case 7:
      switch scene.plan.layout {
      case .split(let descriptors, let available, let used):
        return [descriptors, available, used][Int(offset) % 3] &+ offset
      case .packed(let descriptors, let driverEvent, let deviceEvent):
        return [descriptors, driverEvent, deviceEvent][Int(offset) % 3] &+ offset
      }
    case 8: return scene.far.lowerBound &- offset
    default: return choices.word()
    }
  }

  private func hostileLength<Choices: ChoiceSource & ~Copyable>(
    _ choices: inout Choices
  ) -> UInt32 {
    switch choices.below(6) {
    case 0: 0
    case 1: UInt32(choices.below(64))
    case 2: UInt32(choices.below(9)) * 16
    case 3: UInt32(choices.below(65536))
    case 4: UInt32.max - UInt32(choices.below(32))
    default: UInt32(truncatingIfNeeded: choices.word())
    }
  }
}
