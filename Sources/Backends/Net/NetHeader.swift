// SPDX-License-Identifier: Apache-2.0
//
// NetHeader: what goes before every packet, in both directions (virtio 1.3, 5.1.6).
//
//     0  flags            u8    NEEDS_CSUM, DATA_VALID
//     1  gso_type         u8    what kind of large segment, or none
//     2  hdr_len          u16   how long all headers of the packet are: a hint
//     4  gso_size         u16   payload of each packet that the segment is to be cut into
//     6  csum_start       u16   from where to sum
//     8  csum_offset      u16   from there, where the sum goes
//    10  num_buffers      u16   reception only; not there for legacy drivers without MRG_RXBUF
//
// It is the layout that a tap with IFF_VNET_HDR uses too, so a header is passed on as it is, once
// it was checked. A header is always checked in a private copy, and the copy is what is passed on.

/// A packet's header in private memory.
struct NetHeader: Sendable, Equatable {
  var flags: UInt8 = 0
  var gsoType: UInt8 = 0
  /// Of all protocol headers, in bytes. A hint that nobody relies on.
  var headerLength: UInt16 = 0
  var gsoSize: UInt16 = 0
  var checksumStart: UInt16 = 0
  var checksumOffset: UInt16 = 0
  /// How many buffers the packet takes.
  var bufferCount: UInt16 = 0

  /// The longest form, in bytes; the short one lacks `bufferCount`.
  static let longSize = 12
  /// The form of legacy drivers, in bytes.
  static let shortSize = 10

  /// Flags (VIRTIO_NET_HDR_F_…).
  enum Flag {
    static let needsChecksum: UInt8 = 1
    static let dataValid: UInt8 = 2
  }

  /// Kinds of large segments (VIRTIO_NET_HDR_GSO_…).
  enum GSO {
    static let none: UInt8 = 0
    static let tcp4: UInt8 = 1
    static let udp: UInt8 = 3
    static let tcp6: UInt8 = 4
    /// Together with a TCP kind: the first packet carries a congestion mark.
    static let congestion: UInt8 = 0x80
  }
}

// MARK: On the wire

extension NetHeader {
  /// Decodes the two little-endian words that a header is made of.
  @inline(__always)
  init(low: UInt64, high: UInt32) {
    let low = UInt64(littleEndian: low)
    let high = UInt32(littleEndian: high)
    flags = UInt8(truncatingIfNeeded: low)
    gsoType = UInt8(truncatingIfNeeded: low >> 8)
    headerLength = UInt16(truncatingIfNeeded: low >> 16)
    gsoSize = UInt16(truncatingIfNeeded: low >> 32)
    checksumStart = UInt16(truncatingIfNeeded: low >> 48)
    checksumOffset = UInt16(truncatingIfNeeded: high)
    bufferCount = UInt16(truncatingIfNeeded: high >> 16)
  }

  /// The first eight bytes as a little-endian word.
  @inline(__always)
  var low: UInt64 {
    let kind = UInt64(flags) | UInt64(gsoType) << 8 | UInt64(headerLength) << 16
    return (kind | UInt64(gsoSize) << 32 | UInt64(checksumStart) << 48).littleEndian
  }

  /// The last four bytes as a little-endian word.
  @inline(__always)
  var high: UInt32 {
    (UInt32(checksumOffset) | UInt32(bufferCount) << 16).littleEndian
  }
}

// MARK: Checks

/// Why a frame is not passed on.
enum FrameFault: Error, Sendable, Equatable {
  /// It does not even hold the header and an Ethernet header.
  case tooShort
  /// No Ethernet frame is that long.
  case tooLong
  /// It is cut into more pieces than one system call takes.
  case tooManyPieces
  /// A checksum is asked for, and the feature was not negotiated.
  case checksumNotNegotiated
  /// The checksum, or where it starts, does not lie in the frame.
  case checksumOutsideFrame
  /// A kind of segment that nobody knows.
  case unknownGSOType
  /// A kind of segment whose feature was not negotiated.
  case gsoNotNegotiated
  /// A segment to be cut into packets of nothing.
  case gsoSizeZero
}

extension FrameFault: CustomStringConvertible {
  /// Lower case, no full stop: what is wrong with the frame.
  var description: String {
    switch self {
    case .tooShort: "frame too short"
    case .tooLong: "frame too long"
    case .tooManyPieces: "frame in too many pieces"
    case .checksumNotNegotiated: "checksum offload was not negotiated"
    case .checksumOutsideFrame: "checksum outside the frame"
    case .unknownGSOType: "unknown gso_type"
    case .gsoNotNegotiated: "gso_type was not negotiated"
    case .gsoSizeZero: "gso_size is 0"
    }
  }
}

extension NetHeader {
  /// Checks the header of a frame that goes one way.
  ///
  /// - Parameters:
  ///   - frameBytes: the length of the frame behind the header.
  ///   - offloads: what the receiver of the frame takes.
  /// - Returns: the header to pass on: unknown flags and fields that mean nothing are zero,
  ///   `bufferCount` too.
  @inline(__always)
  func checked(frameBytes: Int, offloads: FrameOffloads) throws(FrameFault) -> NetHeader {
    guard frameBytes >= NetFormat.minimumFrame else { throw .tooShort }
    guard frameBytes <= NetFormat.maximumFrame else { throw .tooLong }
    var result = NetHeader()
    if flags & Flag.needsChecksum != 0 {
      guard offloads.contains(.checksum) else { throw .checksumNotNegotiated }
      // 16-bit numbers: the sum cannot overflow.
      let sumEnd = Int(checksumStart) + Int(checksumOffset) + 2
      guard sumEnd <= frameBytes else { throw .checksumOutsideFrame }
      result.flags = Flag.needsChecksum
      result.checksumStart = checksumStart
      result.checksumOffset = checksumOffset
    }
    if gsoType != GSO.none {
      let needed: FrameOffloads
      switch gsoType & ~GSO.congestion {
      case GSO.tcp4: needed = .tso4
      case GSO.tcp6: needed = .tso6
      case GSO.udp where gsoType == GSO.udp: needed = .ufo
      default: throw .unknownGSOType
      }
      guard offloads.contains(needed) else { throw .gsoNotNegotiated }
      if gsoType & GSO.congestion != 0, !offloads.contains(.ecn) { throw .gsoNotNegotiated }
      guard gsoSize > 0 else { throw .gsoSizeZero }
      result.gsoType = gsoType
      result.gsoSize = gsoSize
      // A hint, and some drivers leave it 0: what is past the frame is cut, not refused.
      result.headerLength = min(headerLength, UInt16(truncatingIfNeeded: min(frameBytes, 0xffff)))
    }
    return result
  }
}
