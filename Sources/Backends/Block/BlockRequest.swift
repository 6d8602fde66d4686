// SPDX-License-Identifier: Apache-2.0
//
// BlockRequest: what a driver asks for, read from its chain once and checked (virtio 1.3, 5.2.6).
//
//     readable:  type (4 bytes), ioprio (4), sector (8), data to write
//     writable:  data that was read, status (1 byte)
//
// The cut into descriptors means nothing: the header is the first 16 readable bytes and the status the last
// writable byte, wherever they lie. What is not as it should be is answered with an error; only a chain
// without a writable byte cannot be answered.

import VirtioRing

/// The status byte (virtio 1.3, 5.2.6).
enum BlockStatus: UInt8 {
  /// VIRTIO_BLK_S_OK.
  case ok = 0
  /// VIRTIO_BLK_S_IOERR.
  case ioError = 1
  /// VIRTIO_BLK_S_UNSUPP.
  case unsupported = 2
}

/// A checked request.
struct BlockRequest: Sendable {
  enum Kind {
    case read
    case write
    case flush
    /// VIRTIO_BLK_T_GET_ID.
    case identify
    /// To be answered with `refusal`.
    case refused
  }

  var kind = Kind.refused
  /// Nothing may pass it (legacy).
  var isBarrier = false
  /// Why it is refused.
  var refusal = BlockStatus.ioError
  /// Where in the image, in bytes.
  var offset = 0
  /// How many bytes of data.
  var byteCount = 0

  /// Data that the device takes.
  var bytesFromGuest: Int {
    @inline(__always) get { kind == .write ? byteCount : 0 }
  }
  /// Data that the device gives.
  var bytesToGuest: Int {
    @inline(__always) get { kind == .write ? 0 : byteCount }
  }

  /// The most segments of a chain: twice what a ring of the largest size can hold, or an indirect table, if every
  /// buffer crosses into another memory region.
  static let segmentLimit = 2048
  /// Of the header, in bytes.
  static let headerByteCount = 16
  /// In bytes; the unit of the protocol, whatever the block size.
  static let sectorByteCount = 512

  private enum WireType {
    static let read: UInt32 = 0
    static let write: UInt32 = 1
    static let flush: UInt32 = 4
    /// Legacy drivers may set the direction bit in a flush; it means nothing.
    static let legacyFlush: UInt32 = 5
    static let identify: UInt32 = 8
    static let barrierBit: UInt32 = 0x8000_0000
  }

  init() {}

  /// Reads and checks a chain's header.
  @inline(__always)
  init(_ chain: borrowing Chain, _ state: BlockState) {
    guard chain.writableBytes > 0, chain.readableBytes >= Self.headerByteCount,
      var type = chain.load(UInt32.self, at: 0).map(UInt32.init(littleEndian:)),
      let sector = chain.load(UInt64.self, at: 8).map(UInt64.init(littleEndian:))
    else { return }
    if type & WireType.barrierBit != 0, state.accepts(.blockBarrier) {
      isBarrier = true
      type &= ~WireType.barrierBit
    }
    switch type {
    case WireType.read:
      locate(sector, chain.writableBytes &- 1, as: .read, state)
    case WireType.write:
      guard !state.isReadOnly else { return }
      locate(sector, chain.readableBytes &- Self.headerByteCount, as: .write, state)
    case WireType.flush where state.accepts(.blockFlush):
      kind = .flush
    case WireType.legacyFlush where state.isLegacy && state.accepts(.blockFlush):
      kind = .flush
    case WireType.identify:
      kind = .identify
      byteCount = min(chain.writableBytes &- 1, BlockOptions.serialByteCount)
    default:
      refusal = .unsupported
    }
  }

  /// Accepts a transfer of whole sectors that the disk has.
  @inline(__always)
  private mutating func locate(
    _ sector: UInt64, _ byteCount: Int, as kind: Kind, _ state: BlockState
  ) {
    let capacity = state.capacity
    guard byteCount % Self.sectorByteCount == 0, sector <= capacity,
      UInt64(byteCount / Self.sectorByteCount) <= capacity &- sector
    else { return }
    self.kind = kind
    // The capacity comes from a file's size, which an Int holds, and the sector is not above it.
    offset = Int(truncatingIfNeeded: sector &* UInt64(Self.sectorByteCount))
    self.byteCount = byteCount
  }

  /// Writes the status into the chain.
  ///
  /// - Returns: how many bytes were written in all, for the used ring: the status, and what was read.
  ///   0 where there is no room for a status.
  @inline(__always)
  func answer(_ status: BlockStatus, _ chain: borrowing Chain) -> UInt32 {
    guard chain.store(status.rawValue, at: chain.writableBytes &- 1) else { return 0 }
    guard status == .ok, kind == .read || kind == .identify else { return 1 }
    // Below the chain's writable bytes, which are below 2^32.
    return UInt32(truncatingIfNeeded: byteCount &+ 1)
  }

  /// Selects the request's data.
  @inline(__always)
  func select(in chain: borrowing Chain, _ window: inout SegmentWindow) {
    switch kind {
    case .read: window.select(.writable, of: chain, limit: byteCount)
    case .write: window.select(.readable, of: chain, skipping: Self.headerByteCount)
    case .flush, .identify, .refused: break
    }
  }

  /// Gives the driver the disk's serial.
  func identify(_ chain: borrowing Chain, _ state: BlockState) {
    for index in 0..<byteCount { chain.store(state.serial[index], at: index) }
  }
}
