// SPDX-License-Identifier: Apache-2.0
//
// The payloads of the messages, each with both directions of its encoding: the back-end decodes what
// a front-end encodes, and the front-end for tests the reverse.

/// A ring and a number: "vring state description".
public struct VringState: Sendable, Equatable {
  /// Which ring.
  public var index: UInt32
  /// What the request says: a size, a base, 0 or 1.
  public var number: UInt32

  /// Makes one.
  public init(index: UInt32, number: UInt32) {
    self.index = index
    self.number = number
  }

  /// Decodes one; nil unless there are exactly eight bytes.
  public init?(_ payload: [UInt8]) {
    var reader = PayloadReader(payload)
    guard payload.count == 8, let index = reader.read32(), let number = reader.read32() else {
      return nil
    }
    self.init(index: index, number: number)
  }

  /// The eight bytes.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append32(index)
    bytes.append32(number)
    return bytes
  }
}

/// Where a ring lies, in the front-end's own addresses: "vring address description".
public struct VringAddress: Sendable, Equatable {
  /// Which ring.
  public var index: UInt32
  /// Bit 0: writes to the used ring are logged.
  public var flags: UInt32
  /// Descriptor table, or the packed ring itself.
  public var descriptors: UInt64
  /// Used ring, or the packed ring's device event structure.
  public var used: UInt64
  /// Available ring, or the packed ring's driver event structure.
  public var available: UInt64
  /// Guest address to log writes of the used ring at.
  public var log: UInt64

  /// Makes one.
  public init(
    index: UInt32, flags: UInt32 = 0, descriptors: UInt64, used: UInt64, available: UInt64,
    log: UInt64 = 0
  ) {
    self.index = index
    self.flags = flags
    self.descriptors = descriptors
    self.used = used
    self.available = available
    self.log = log
  }

  /// Decodes one; nil unless there are exactly forty bytes.
  public init?(_ payload: [UInt8]) {
    var reader = PayloadReader(payload)
    guard payload.count == 40, let index = reader.read32(), let flags = reader.read32(),
      let descriptors = reader.read64(), let used = reader.read64(),
      let available = reader.read64(), let log = reader.read64()
    else { return nil }
    self.init(
      index: index, flags: flags, descriptors: descriptors, used: used, available: available,
      log: log)
  }

  /// The forty bytes.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append32(index)
    bytes.append32(flags)
    for word in [descriptors, used, available, log] { bytes.append64(word) }
    return bytes
  }
}

/// A piece of guest memory: "memory region description".
public struct RegionDescription: Sendable, Equatable {
  /// How many bytes one takes in a message.
  public static let byteCount = 32

  /// Where the driver sees it.
  public var guestAddress: UInt64
  /// In bytes.
  public var size: UInt64
  /// Where the front-end has it mapped; ring addresses are in these terms.
  public var userAddress: UInt64
  /// Where it starts in the descriptor's file.
  public var offset: UInt64

  /// Makes one.
  public init(guestAddress: UInt64, size: UInt64, userAddress: UInt64, offset: UInt64) {
    self.guestAddress = guestAddress
    self.size = size
    self.userAddress = userAddress
    self.offset = offset
  }

  /// Takes one out of a payload.
  init?(from reader: inout PayloadReader) {
    guard let guestAddress = reader.read64(), let size = reader.read64(),
      let userAddress = reader.read64(), let offset = reader.read64()
    else { return nil }
    self.init(guestAddress: guestAddress, size: size, userAddress: userAddress, offset: offset)
  }

  /// The thirty-two bytes.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for word in [guestAddress, size, userAddress, offset] { bytes.append64(word) }
    return bytes
  }

  /// The payload of ADD_MEM_REG and REM_MEM_REG: padding, then the region.
  public var singleRegionBytes: [UInt8] { [UInt8](repeating: 0, count: 8) + bytes }

  /// Decodes the payload of ADD_MEM_REG and REM_MEM_REG; nil unless it has exactly forty bytes.
  public init?(singleRegion payload: [UInt8]) {
    var reader = PayloadReader(payload)
    guard payload.count == 40, reader.read64() != nil else { return nil }
    self.init(from: &reader)
  }

  /// The payload of SET_MEM_TABLE.
  public static func tableBytes(_ regions: [RegionDescription]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append32(UInt32(truncatingIfNeeded: regions.count))
    bytes.append32(0)
    for region in regions { bytes += region.bytes }
    return bytes
  }

  /// Decodes the payload of SET_MEM_TABLE.
  ///
  /// It may be longer than its regions are: User-mode Linux always sends room for two.
  /// - Parameter limit: the most regions.
  /// - Returns: nil where the count is 0 or above the limit, or there are fewer bytes.
  static func table(_ payload: [UInt8], limit: Int) -> [RegionDescription]? {
    var reader = PayloadReader(payload)
    guard let count = reader.read32(), reader.read32() != nil, count > 0, count <= limit,
      payload.count <= 8 + limit * byteCount
    else { return nil }
    var regions: [RegionDescription] = []
    for _ in 0..<count {
      guard let region = RegionDescription(from: &reader) else { return nil }
      regions.append(region)
    }
    return regions
  }
}

/// A piece of the configuration space: "virtio device config space".
public struct ConfigurationAccess: Sendable, Equatable {
  /// How many bytes stand before the content.
  public static let headerByteCount = 12
  /// The largest piece that is served. The specification names none; front-ends ask for up to 256.
  public static let maximumByteCount = 4096

  /// Where in the configuration space.
  public var offset: UInt32
  /// 0: the driver's access; 1: part of a migration.
  public var flags: UInt32
  /// What is there, or what is to be written.
  public var content: [UInt8]

  /// Makes one.
  public init(offset: UInt32, flags: UInt32 = 0, content: [UInt8]) {
    self.offset = offset
    self.flags = flags
    self.content = content
  }

  /// Decodes one; nil unless the payload is exactly as long as it says.
  public init?(_ payload: [UInt8]) {
    var reader = PayloadReader(payload)
    guard let offset = reader.read32(), let size = reader.read32(), let flags = reader.read32(),
      Int(size) == reader.remaining, let content = reader.readBytes(Int(size))
    else { return nil }
    self.init(offset: offset, flags: flags, content: content)
  }

  /// The payload.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append32(offset)
    bytes.append32(UInt32(truncatingIfNeeded: content.count))
    bytes.append32(flags)
    return bytes + content
  }
}

/// A ring, and whether a descriptor comes along: the number of SET_VRING_KICK, _CALL and _ERR.
public struct VringDescriptorIndex: Sendable, Equatable {
  /// Which ring.
  public var index: UInt8
  /// Whether there is a descriptor. Bit 8 says that there is none.
  public var hasDescriptor: Bool

  /// Makes one.
  public init(index: UInt8, hasDescriptor: Bool) {
    self.index = index
    self.hasDescriptor = hasDescriptor
  }

  /// Takes the number apart; nil where bits are set that have no meaning.
  public init?(rawValue: UInt64) {
    guard rawValue >> 9 == 0 else { return nil }
    self.init(
      index: UInt8(truncatingIfNeeded: rawValue), hasDescriptor: rawValue & 0x100 == 0)
  }

  /// The number.
  public var rawValue: UInt64 { UInt64(index) | (hasDescriptor ? 0 : 0x100) }
}
