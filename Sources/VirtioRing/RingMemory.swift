// SPDX-License-Identifier: Apache-2.0
//
// RingMemory: the words of a ring, which the driver can change at any moment.
//
// One of the three files of this module that follow pointers (with ScratchMemory.swift, memory of the
// device's own, and ChainMemory.swift, the bytes of a request). Nothing here ever hands out a Span, an
// array or a typed load over shared memory: words are read and written as relaxed, acquire or release
// atomics, each read exactly once per use.
//
// Every type is @safe because no call of it can leave the memory it was made for: indices are masked
// or compared inside the accessor, and whoever makes one has checked the extent (`GuestMemory`).
// The owner of the mapping is kept alive by the `GuestMemory` that the queue holds.

import Synchronization

#if _endian(big)
  #error("VirtioRing is written for little-endian hosts: ring words are used as they are read")
#endif

// MARK: Atomic words at an address

/// A position in shared memory. Only this file makes one and only this file follows it.
@safe
struct SharedAddress {
  let pointer: UnsafeMutableRawPointer

  /// - Parameter address: not zero; the caller has checked the extent that will be used.
  @inline(__always)
  init?(_ address: UInt) {
    // SAFETY: nothing is followed here; the accessors below say what makes them safe.
    guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return nil }
    unsafe self.pointer = pointer
  }

  // SAFETY (all accessors below): callers in this file pass offsets that are masked or compared
  // to lie inside the extent that was checked when the address was made.

  @inline(__always)
  func load8(_ offset: Int) -> UInt8 {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt8>.self).pointee
      .load(ordering: .relaxed)
  }

  @inline(__always)
  func load16(_ offset: Int) -> UInt16 {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt16>.self).pointee
      .load(ordering: .relaxed)
  }

  @inline(__always)
  func load16Acquiring(_ offset: Int) -> UInt16 {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt16>.self).pointee
      .load(ordering: .acquiring)
  }

  @inline(__always)
  func load32(_ offset: Int) -> UInt32 {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt32>.self).pointee
      .load(ordering: .relaxed)
  }

  @inline(__always)
  func load64(_ offset: Int) -> UInt64 {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .load(ordering: .relaxed)
  }

  @inline(__always)
  func load64Acquiring(_ offset: Int) -> UInt64 {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
      .load(ordering: .acquiring)
  }

  @inline(__always)
  func store16(_ value: UInt16, _ offset: Int) {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt16>.self).pointee
      .store(value, ordering: .relaxed)
  }

  @inline(__always)
  func store16Releasing(_ value: UInt16, _ offset: Int) {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt16>.self).pointee
      .store(value, ordering: .releasing)
  }

  @inline(__always)
  func store32(_ value: UInt32, _ offset: Int) {
    unsafe (pointer + offset).assumingMemoryBound(to: Atomic<UInt32>.self).pointee
      .store(value, ordering: .relaxed)
  }
}

/// Orders a store of ours before a load of the driver's word: the one place in each direction where
/// "I have told you" must be visible before "have you told me?" is asked (virtio 1.3, 2.7.7.2).
@inline(__always)
func fullFence() {
  atomicMemoryFence(ordering: .sequentiallyConsistent)
}

// MARK: Split ring

/// The three areas of a split ring. Slot numbers are masked here, so no index can leave the ring.
@safe
struct SplitRingMemory {
  private let descriptors: SharedAddress
  private let available: SharedAddress
  private let used: SharedAddress
  private let mask: Int

  /// - Parameters: host addresses of areas that hold `size` entries each, event words included.
  init?(descriptors: UInt, available: UInt, used: UInt, size: UInt16) {
    guard let descriptors = SharedAddress(descriptors), let available = SharedAddress(available),
      let used = SharedAddress(used)
    else { return nil }
    self.descriptors = descriptors
    self.available = available
    self.used = used
    mask = Int(size) - 1
  }

  /// Reads a descriptor once, as two words.
  @inline(__always)
  func descriptor(_ index: UInt16) -> Descriptor {
    let offset = (Int(index) & mask) &* Descriptor.byteCount
    return Descriptor(address: descriptors.load64(offset), word: descriptors.load64(offset &+ 8))
  }

  /// Pairs with the driver's release of avail.idx: entries before it are visible after this.
  @inline(__always)
  var availableIndex: UInt16 { available.load16Acquiring(2) }

  @inline(__always)
  var availableFlags: UInt16 { available.load16(0) }

  @inline(__always)
  func availableEntry(_ index: UInt16) -> UInt16 {
    available.load16(4 &+ (Int(index) & mask) &* 2)
  }

  /// used_event, behind the available ring: the used index at which the driver wants a call.
  @inline(__always)
  var usedEvent: UInt16 { available.load16(4 &+ (mask &+ 1) &* 2) }

  @inline(__always)
  func storeUsed(_ index: UInt16, id: UInt16, written: UInt32) {
    let offset = 4 &+ (Int(index) & mask) &* 8
    used.store32(UInt32(id), offset)
    used.store32(written, offset &+ 4)
  }

  /// Pairs with the driver's acquire of used.idx: entries and buffers are visible before it.
  @inline(__always)
  func publishUsedIndex(_ index: UInt16) { used.store16Releasing(index, 2) }

  /// The used index as the ring holds it: where a device that takes over a ring goes on.
  var usedIndex: UInt16 { used.load16(2) }

  @inline(__always)
  func storeUsedFlags(_ flags: UInt16) { used.store16(flags, 0) }

  /// avail_event, behind the used ring: the available index at which the device wants a kick.
  @inline(__always)
  func storeAvailableEvent(_ index: UInt16) { used.store16(index, 4 &+ (mask &+ 1) &* 8) }
}

// MARK: Packed ring

/// The descriptor ring and the two event suppression areas of a packed ring.
@safe
struct PackedRingMemory {
  private let descriptors: SharedAddress
  private let driverEvent: SharedAddress
  private let deviceEvent: SharedAddress
  private let byteCount: Int

  /// - Parameters: host addresses of a ring of `size` descriptors and of two 4-byte structures.
  init?(descriptors: UInt, driverEvent: UInt, deviceEvent: UInt, size: UInt16) {
    guard let descriptors = SharedAddress(descriptors),
      let driverEvent = SharedAddress(driverEvent), let deviceEvent = SharedAddress(deviceEvent)
    else { return nil }
    self.descriptors = descriptors
    self.driverEvent = driverEvent
    self.deviceEvent = deviceEvent
    byteCount = Int(size) &* Descriptor.byteCount
  }

  /// The place of a slot. A slot past the end would be a mistake of the queue's own; it gets the first
  /// place rather than one outside the ring.
  func place(_ slot: UInt16, wrap: Bool) -> PackedPlace {
    let offset = Int(slot) &* Descriptor.byteCount
    return PackedPlace(
      offset: offset < byteCount ? offset : 0, marks: wrap ? RingFlag.available : RingFlag.used)
  }

  /// Goes on to the next slot. A packed ring's size is any number, so the end is compared, not masked.
  @inline(__always)
  func advance(_ place: inout PackedPlace) {
    place.offset &+= Descriptor.byteCount
    if place.offset == byteCount { place.wrap(to: 0) }
  }

  /// Goes on by a number of slots, the ring's size at most.
  @inline(__always)
  func advance(_ place: inout PackedPlace, by count: UInt16) {
    place.offset &+= Int(count) &* Descriptor.byteCount
    if place.offset >= byteCount {
      place.wrap(to: place.offset &- byteCount)
      precondition(place.offset < byteCount, "a place goes round once at a time")
    }
  }

  /// Goes back by a number of slots, the ring's size at most.
  func retreat(_ place: inout PackedPlace, by count: UInt16) {
    place.offset &-= Int(count) &* Descriptor.byteCount
    if place.offset < 0 {
      place.wrap(to: place.offset &+ byteCount)
      precondition(place.offset >= 0, "a place goes round once at a time")
    }
  }

  /// Reads a descriptor once; the word with the flags first, acquired: it pairs with the driver's
  /// release of the flags, so the address that is read after it is the one that belongs to it.
  /// Length, id and flags are one aligned 8-byte word and arrive together.
  @inline(__always)
  func descriptor(_ place: PackedPlace) -> Descriptor {
    let word = descriptors.load64Acquiring(place.offset &+ 8)
    return Descriptor(address: descriptors.load64(place.offset), word: word)
  }

  /// The flags alone, to ask whether something is there.
  @inline(__always)
  func flags(_ place: PackedPlace) -> UInt16 {
    descriptors.load16Acquiring(place.offset &+ 14)
  }

  @inline(__always)
  func storeUsed(_ place: PackedPlace, id: UInt16, written: UInt32) {
    descriptors.store32(written, place.offset &+ 8)
    descriptors.store16(id, place.offset &+ 12)
  }

  /// Pairs with the driver's acquire of the flags: everything written before is visible with them.
  @inline(__always)
  func publishFlags(_ place: PackedPlace, _ flags: UInt16) {
    descriptors.store16Releasing(flags, place.offset &+ 14)
  }

  /// When the driver wants a call: offset and wrap in the low half, flags in the high half.
  @inline(__always)
  var driverEventWord: UInt32 { driverEvent.load32(0) }

  /// Says when the device wants a kick. The offset first: the flags make it count.
  @inline(__always)
  func storeDeviceEvent(offsetAndWrap: UInt16, flags: UInt16) {
    deviceEvent.store16(offsetAndWrap, 0)
    deviceEvent.store16Releasing(flags, 2)
  }
}

/// A slot of a packed ring, and the round in which it is reached.
///
/// Only the ring makes and moves one, so it is always inside, and reading there needs no check. One that
/// was made by a ring serves all rings of the same size.
struct PackedPlace: Equatable {
  /// In bytes.
  fileprivate(set) var offset: Int
  /// The AVAIL and USED bits of a descriptor that the driver makes available in this round: AVAIL equal to
  /// its wrap counter and USED not (virtio 1.3, 2.8.1).
  fileprivate(set) var marks: UInt16

  @inline(__always)
  fileprivate mutating func wrap(to offset: Int) {
    self.offset = offset
    marks ^= Self.bothMarks
  }

  static var bothMarks: UInt16 { RingFlag.available | RingFlag.used }

  var slot: UInt16 {
    @inline(__always) get { UInt16(truncatingIfNeeded: UInt(bitPattern: offset) / 16) }
  }

  /// The wrap counter.
  var wrap: Bool {
    @inline(__always) get { marks == RingFlag.available }
  }
}

// MARK: Indirect tables

/// An indirect table that lies contiguously in host memory. It may have any alignment: virtio asks
/// for none, and drivers have used that.
@safe
struct IndirectTable {
  private let base: SharedAddress
  let count: Int

  /// - Parameters: the host address of `count` descriptors, the extent checked.
  @inline(__always)
  init?(address: UInt, count: Int) {
    guard let base = SharedAddress(address) else { return nil }
    self.base = base
    self.count = count
  }

  /// Reads descriptor `index` once, or nil past the table's end.
  @inline(__always)
  func descriptor(_ index: Int) -> Descriptor? {
    guard index < count, index >= 0 else { return nil }
    let offset = index &* Descriptor.byteCount
    return Descriptor(address: base.load64(offset), word: base.load64(offset &+ 8))
  }
  /// Reads one byte of a table that does not lie contiguously.
  ///
  /// - Parameter address: a host address that was just found in guest memory.
  static func byte(at address: UInt) -> UInt8? { SharedAddress(address)?.load8(0) }
}
