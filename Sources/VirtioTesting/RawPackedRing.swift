// SPDX-License-Identifier: Apache-2.0

import VirtioRing

/// Every word of a packed ring, to be written at any time with anything: the hostile driver.
///
/// It keeps no state and checks nothing but that the ring lies in the test's memory. Slots past the
/// ring's end are taken modulo its size.
public struct RawPackedRing: Sendable {
  /// The memory that the ring lies in.
  public let memory: TestMemory
  /// Guest address of the descriptor ring.
  public let descriptors: UInt64
  /// Guest address of the driver event suppression structure.
  public let driverEvent: UInt64
  /// Guest address of the device event suppression structure.
  public let deviceEvent: UInt64
  /// Slots.
  public let size: UInt16

  /// Looks at a ring. - Precondition: the plan is a packed ring of at least one slot.
  public init(_ plan: RingPlan, memory: TestMemory) {
    guard case .packed(let descriptors, let driverEvent, let deviceEvent) = plan.layout,
      plan.size > 0
    else { preconditionFailure("not a packed ring: \(plan)") }
    self.memory = memory
    self.descriptors = descriptors
    self.driverEvent = driverEvent
    self.deviceEvent = deviceEvent
    size = plan.size
  }

  /// Guest address of a slot.
  public func descriptor(_ slot: UInt16) -> UInt64 { descriptors + UInt64(slot % size) * 16 }

  /// Writes a slot, the flags as they are given.
  public func setDescriptor(
    _ slot: UInt16, address: UInt64, byteCount: UInt32, id: UInt16 = 0, flags: UInt16
  ) {
    memory.setPackedDescriptor(
      at: descriptor(slot), address: address, byteCount: byteCount, id: id, flags: flags)
  }

  /// The AVAIL and USED bits of a descriptor that is available in a round.
  public static func availableFlags(wrap: Bool) -> UInt16 {
    wrap ? RingFlag.available : RingFlag.used
  }

  /// The AVAIL and USED bits of a descriptor that is used in a round.
  public static func usedFlags(wrap: Bool) -> UInt16 {
    wrap ? RingFlag.available | RingFlag.used : 0
  }

  /// A slot's flags.
  public func flags(_ slot: UInt16) -> UInt16 {
    memory.load(UInt16.self, at: descriptor(slot) + 14)
  }

  /// Writes a slot's flags.
  public func setFlags(_ slot: UInt16, _ flags: UInt16) {
    memory.store(flags, at: descriptor(slot) + 14)
  }

  /// What a slot holds: buffer id, length, flags.
  public func element(_ slot: UInt16) -> (id: UInt16, byteCount: UInt32, flags: UInt16) {
    (
      memory.load(UInt16.self, at: descriptor(slot) + 12),
      memory.load(UInt32.self, at: descriptor(slot) + 8), flags(slot)
    )
  }

  /// The driver event suppression structure: when the driver wants a call.
  public var driverEventWord: (offsetAndWrap: UInt16, flags: UInt16) {
    get {
      (
        memory.load(UInt16.self, at: driverEvent),
        memory.load(UInt16.self, at: driverEvent + 2)
      )
    }
    nonmutating set {
      memory.store(newValue.offsetAndWrap, at: driverEvent)
      memory.store(newValue.flags, at: driverEvent + 2)
    }
  }

  /// The device event suppression structure: when the device wants a kick.
  public var deviceEventWord: (offsetAndWrap: UInt16, flags: UInt16) {
    get {
      (
        memory.load(UInt16.self, at: deviceEvent),
        memory.load(UInt16.self, at: deviceEvent + 2)
      )
    }
    nonmutating set {
      memory.store(newValue.offsetAndWrap, at: deviceEvent)
      memory.store(newValue.flags, at: deviceEvent + 2)
    }
  }
}
