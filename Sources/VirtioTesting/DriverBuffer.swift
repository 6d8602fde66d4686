// SPDX-License-Identifier: Apache-2.0
//
// What goes into a driver and comes out of it: buffers, the shape of a chain, what was used.

/// One buffer of a chain, which takes one descriptor.
public struct DriverBuffer: Sendable, Equatable {
  /// Guest-physical.
  public var address: UInt64
  /// In bytes.
  public var byteCount: UInt32
  /// Whether the device writes it.
  public var isWritable: Bool

  /// Describes a buffer; nothing is checked here.
  @inline(__always)
  public init(address: UInt64, byteCount: UInt32, isWritable: Bool) {
    self.address = address
    self.byteCount = byteCount
    self.isWritable = isWritable
  }

  /// A buffer that the device reads.
  @inline(__always)
  public static func readable(_ address: UInt64, _ byteCount: UInt32) -> DriverBuffer {
    DriverBuffer(address: address, byteCount: byteCount, isWritable: false)
  }

  /// A buffer that the device writes.
  @inline(__always)
  public static func writable(_ address: UInt64, _ byteCount: UInt32) -> DriverBuffer {
    DriverBuffer(address: address, byteCount: byteCount, isWritable: true)
  }
}

/// Where a chain's descriptors go.
public enum ChainShape: Sendable, Equatable {
  /// All in the ring.
  case direct
  /// All in the indirect table that the driver keeps for the entry; one descriptor in the ring.
  case indirect
  /// The first `direct` ones in the ring, the others in the entry's indirect table. Split rings only.
  case indirectAfter(Int)
  /// All in an indirect table at any guest address, aligned or not, in one region or not.
  case indirectAt(UInt64)
}

/// A chain that the device gave back.
public struct UsedChain: Sendable, Equatable {
  /// What the driver passed along with the chain.
  public let token: UInt64
  /// The head's index in a split ring, the buffer id in a packed one.
  public let id: UInt16
  /// How many bytes the device says it wrote.
  public let written: UInt32
}

/// What a device did wrong with the used side of a ring.
public enum DeviceFault: Error, Sendable, Equatable {
  /// The used index is ahead by more chains than are in flight.
  case usedIndexJumped
  /// A used entry names a chain that is not in flight.
  case chainNotInFlight
  /// IN_ORDER was negotiated and a chain was used out of order.
  case outOfOrder
  /// The device says that it wrote more than the chain's writable buffers hold.
  case wroteTooMuch
}
