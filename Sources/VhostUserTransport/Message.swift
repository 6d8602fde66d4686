// SPDX-License-Identifier: Apache-2.0
//
// A message: twelve bytes of header, then a payload. All numbers are in the machine's byte order. The
// bytes of a message are private memory, so they are read and written with plain loops over arrays;
// the control plane has time for that.

/// The header of a message in either direction.
public struct MessageHeader: Sendable, Equatable {
  /// How many bytes it takes.
  public static let byteCount = 12

  /// What is asked: any number, the sender's word for it.
  public var request: UInt32
  /// `MessageFlags`.
  public var flags: UInt32
  /// The payload's size in bytes.
  public var payloadByteCount: UInt32

  /// Makes a header.
  public init(request: UInt32, flags: UInt32, payloadByteCount: UInt32) {
    self.request = request
    self.flags = flags
    self.payloadByteCount = payloadByteCount
  }

  /// Takes a header apart. - Precondition: `bytes` has at least `byteCount` bytes.
  public init(_ bytes: [UInt8]) {
    var cursor = PayloadReader(bytes)
    guard let request = cursor.read32(), let flags = cursor.read32(),
      let count = cursor.read32()
    else { preconditionFailure("a header has \(Self.byteCount) bytes") }
    self.init(request: request, flags: flags, payloadByteCount: count)
  }
}

/// A message of either direction, without its descriptors.
public struct Message: Sendable, Equatable {
  /// What is asked: any number, the sender's word for it.
  public var request: UInt32
  /// `MessageFlags`.
  public var flags: UInt32
  /// What follows the header.
  public var payload: [UInt8]

  /// Makes a message.
  public init(_ request: UInt32, flags: UInt32 = MessageFlags.version, payload: [UInt8] = []) {
    self.request = request
    self.flags = flags
    self.payload = payload
  }

  /// Header and payload as they go over the socket.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(MessageHeader.byteCount + payload.count)
    bytes.append32(request)
    bytes.append32(flags)
    bytes.append32(UInt32(truncatingIfNeeded: payload.count))
    bytes += payload
    return bytes
  }
}

/// Takes numbers out of a payload, front to back.
public struct PayloadReader: Sendable {
  private let bytes: [UInt8]
  private var offset = 0

  /// Starts at the front.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// How many bytes are left.
  public var remaining: Int { bytes.count - offset }

  /// Takes 32 bits, or nothing where fewer are left.
  public mutating func read32() -> UInt32? { read(UInt32.self) }

  /// Takes 64 bits, or nothing where fewer are left.
  public mutating func read64() -> UInt64? { read(UInt64.self) }

  /// Takes so many bytes, or nothing where fewer are left.
  public mutating func readBytes(_ count: Int) -> [UInt8]? {
    guard count >= 0, count <= remaining else { return nil }
    defer { offset += count }
    return Array(bytes[offset..<offset + count])
  }

  private mutating func read<Word: FixedWidthInteger & UnsignedInteger>(_: Word.Type) -> Word? {
    let size = MemoryLayout<Word>.size
    guard size <= remaining else { return nil }
    var word: Word = 0
    for index in 0..<size {
      word |= Word(bytes[offset + index]) << Word(index * 8)
    }
    offset += size
    return word
  }
}

extension [UInt8] {
  /// Appends 32 bits in the machine's byte order.
  public mutating func append32(_ word: UInt32) { appendWord(word) }

  /// Appends 64 bits in the machine's byte order.
  public mutating func append64(_ word: UInt64) { appendWord(word) }

  private mutating func appendWord<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word) {
    for index in 0..<MemoryLayout<Word>.size {
      append(UInt8(truncatingIfNeeded: word >> Word(index * 8)))
    }
  }
}
