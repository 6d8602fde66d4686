// SPDX-License-Identifier: Apache-2.0

/// A private copy of one descriptor: two words, read once each.
///
/// Both ring formats put the address first. The second word holds, from its low bits up, length (32),
/// flags (16) and next (16) in a split ring (virtio 1.3, 2.7.5), and length (32), buffer id (16) and
/// flags (16) in a packed one (2.8.13).
struct Descriptor {
  /// In bytes.
  static let byteCount = 16

  let address: UInt64
  let word: UInt64

  @inline(__always) var length: UInt32 { UInt32(truncatingIfNeeded: word) }

  @inline(__always) var splitFlags: UInt16 { UInt16(truncatingIfNeeded: word >> 32) }
  @inline(__always) var splitNext: UInt16 { UInt16(truncatingIfNeeded: word >> 48) }

  @inline(__always) var packedID: UInt16 { UInt16(truncatingIfNeeded: word >> 32) }
  @inline(__always) var packedFlags: UInt16 { UInt16(truncatingIfNeeded: word >> 48) }
}

/// Bits of a descriptor's flags and of the rings' own words.
public enum RingFlag {
  /// VIRTQ_DESC_F_NEXT: the chain goes on.
  public static let next: UInt16 = 1
  /// VIRTQ_DESC_F_WRITE: the device writes this buffer.
  public static let write: UInt16 = 2
  /// VIRTQ_DESC_F_INDIRECT: the buffer is a table of descriptors.
  public static let indirect: UInt16 = 4
  /// VIRTQ_DESC_F_AVAIL of a packed ring.
  public static let available: UInt16 = 1 << 7
  /// VIRTQ_DESC_F_USED of a packed ring.
  public static let used: UInt16 = 1 << 15
  /// VIRTQ_AVAIL_F_NO_INTERRUPT: the driver needs no call.
  public static let noInterrupt: UInt16 = 1
  /// VIRTQ_USED_F_NO_NOTIFY: the device needs no kick.
  public static let noNotify: UInt16 = 1
  /// RING_EVENT_FLAGS_ENABLE of a packed ring.
  public static let eventsEnabled: UInt16 = 0
  /// RING_EVENT_FLAGS_DISABLE of a packed ring.
  public static let eventsDisabled: UInt16 = 1
  /// RING_EVENT_FLAGS_DESC of a packed ring: an event for one position, with EVENT_IDX only.
  public static let eventsAtPosition: UInt16 = 2
}
