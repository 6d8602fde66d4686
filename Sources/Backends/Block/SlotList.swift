// SPDX-License-Identifier: Apache-2.0

/// A list of a pool's slots, linked through the slots themselves.
struct SlotList: Sendable {
  /// What a slot has of a list.
  struct Link: Sendable {
    fileprivate var next = SlotList.none
  }

  private static let none = -1
  private var first = SlotList.none
  private var last = SlotList.none

  var isEmpty: Bool { first == Self.none }

  /// The slot that `takeFirst` would take.
  var front: Int? { isEmpty ? nil : first }

  /// Appends a slot. - Precondition: it is in no list.
  mutating func append(_ slot: Int, _ slots: inout SlotPool<RingSlot>) {
    slots[slot].link.next = Self.none
    if isEmpty {
      first = slot
    } else {
      slots[last].link.next = slot
    }
    last = slot
  }

  /// Puts a slot in front: the one used last is the warmest. - Precondition: it is in no list.
  mutating func prepend(_ slot: Int, _ slots: inout SlotPool<RingSlot>) {
    slots[slot].link.next = first
    if isEmpty { last = slot }
    first = slot
  }

  /// Takes the first slot out.
  mutating func takeFirst(_ slots: inout SlotPool<RingSlot>) -> Int? {
    guard !isEmpty else { return nil }
    let slot = first
    first = slots[slot].link.next
    return slot
  }
}
