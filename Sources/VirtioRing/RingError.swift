// SPDX-License-Identifier: Apache-2.0

/// What a driver did wrong with its ring. Each breaks the queue until it is set up again; none
/// touches another queue.
public enum RingError: Error, Sendable, Equatable {
  // Setting the queue up.
  /// The size is 0, above 32768, or, for a split ring, no power of two.
  case badSize
  /// An area of the ring is not aligned as its format asks.
  case misaligned
  /// An area of the ring does not lie in one region of guest memory.
  case ringOutsideMemory
  /// Two areas of the ring overlap.
  case ringAreasOverlap
  /// The position to go on from is not one that this ring can have.
  case badPosition

  // Taking a chain.
  /// The available index is further ahead than the queue is long, or went backwards.
  case availableIndexJumped
  /// The head is not below the queue's size.
  case headOutOfRange
  /// The head or buffer id is in flight already.
  case headInFlight
  /// `next` is not below the size of its table.
  case nextOutOfRange
  /// The chain is longer than it may be: a loop, or too many descriptors.
  case chainTooLong
  /// The chain's buffers hold more than 2^32 - 1 bytes together.
  case chainTooLarge
  /// The chain needs more segments than the device has room for.
  case tooManySegments
  /// A buffer does not lie in guest memory.
  case addressOutsideMemory
  /// A device-readable descriptor behind a device-writable one.
  case readableAfterWritable
  /// An indirect descriptor though the feature was not negotiated.
  case indirectNotNegotiated
  /// INDIRECT and NEXT in one descriptor.
  case indirectWithNext
  /// An indirect descriptor inside an indirect table.
  case indirectNested
  /// An indirect table of length 0 or of no whole number of descriptors.
  case indirectBadLength
  /// An indirect table that does not lie in guest memory, or a descriptor of it cut by a hole.
  case indirectOutsideMemory
  /// A packed ring's buffer id is not below the queue's size.
  case idOutOfRange
  /// A descriptor inside a packed chain that is not marked available as its head is.
  case descriptorNotAvailable
}

extension RingError: CustomStringConvertible {
  /// One line, lower case, no full stop: what the driver did.
  public var description: String {
    switch self {
    case .badSize: "queue size out of range or not a power of two"
    case .misaligned: "ring area not aligned"
    case .ringOutsideMemory: "ring area outside guest memory"
    case .ringAreasOverlap: "ring areas overlap"
    case .badPosition: "ring position out of range"
    case .availableIndexJumped: "available index jumped"
    case .headOutOfRange: "chain head out of range"
    case .headInFlight: "chain made available twice"
    case .nextOutOfRange: "next descriptor out of range"
    case .chainTooLong: "descriptor chain too long or looping"
    case .chainTooLarge: "descriptor chain holds more than 4 GiB"
    case .tooManySegments: "descriptor chain has too many segments"
    case .addressOutsideMemory: "buffer outside guest memory"
    case .readableAfterWritable: "device-readable buffer after a device-writable one"
    case .indirectNotNegotiated: "indirect descriptor, but the feature was not negotiated"
    case .indirectWithNext: "indirect descriptor with a next descriptor"
    case .indirectNested: "indirect descriptor inside an indirect table"
    case .indirectBadLength: "indirect table of a bad length"
    case .indirectOutsideMemory: "indirect table outside guest memory"
    case .idOutOfRange: "buffer id out of range"
    case .descriptorNotAvailable: "descriptor of a chain is not available"
    }
  }
}
