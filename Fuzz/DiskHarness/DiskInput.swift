// SPDX-License-Identifier: Apache-2.0
//
// What a fuzzer's input means: a size, choices, and pieces of an image.
//
//   byte 0       bits 0 and 1: the sector size that is known (none, 512, 4096, nonsense)
//                bit 2: a GPT's checksums are made right before the image is read
//                bit 3: a GPT that Linux does not see is used
//   bytes 1–8    the image's size, little-endian
//   then pieces  offset (8 bytes), length (2 bytes), the bytes
//
// A piece that the input ends in has what is left of it.

public import DiskLayout

/// An image with the choices beside it, as an input.
public struct DiskInput: Sendable {
  /// The sector size that the caller claims to know.
  public var sectorSize: Int?
  /// Whether a GPT's checksums are made right before the image is read.
  public var repairsChecksums: Bool
  /// Whether a GPT that Linux does not see is used.
  public var usesLostGPT: Bool
  /// The image.
  public var image: SparseImage

  private static let sectorSizes: [Int?] = [nil, 512, 4096, 1000]

  /// Takes an input apart; any bytes are one.
  public init(_ input: [UInt8]) {
    let choices = input.first ?? 0
    sectorSize = Self.sectorSizes[Int(choices & 3)]
    repairsChecksums = choices & 4 != 0
    usesLostGPT = choices & 8 != 0
    func number(_ offset: Int, _ count: Int) -> UInt64 {
      (0..<count).reversed().reduce(0) { number, index in
        number << 8 | UInt64(offset + index < input.count ? input[offset + index] : 0)
      }
    }
    image = SparseImage(byteCount: number(1, 8))
    var position = 9
    while position < input.count {
      let length = Int(number(position + 8, 2))
      image.write(input.dropFirst(position + 10).prefix(length), at: number(position, 8))
      position += 10 + length
    }
  }

  /// Reads the layout, and traps where something is wrong that no image may lead to.
  @discardableResult
  public func run() -> DiskLayout {
    var image = image
    if repairsChecksums { image.repairChecksums() }
    return checkedLayout(image, sectorSize: sectorSize, usesLostGPT: usesLostGPT)
  }
}

extension SparseImage {
  /// Makes the checksums of all GPT headers right that are where one is looked for, so that what follows
  /// the checksums is reached.
  public mutating func repairChecksums() {
    for size: UInt64 in [512, 4096] {
      let sectors = byteCount / size
      guard sectors > 1 else { continue }
      for sector in [1, sectors - 1] { repairHeader(at: sector * size, sectorSize: size) }
    }
  }

  private mutating func repairHeader(at offset: UInt64, sectorSize: UInt64) {
    let header = bytes(at: offset, count: Int(sectorSize))
    guard header.starts(with: Array("EFI PART".utf8)), header.count == Int(sectorSize)
    else { return }
    func number(_ at: Int, _ count: Int) -> UInt64 {
      (0..<count).reversed().reduce(0) { $0 << 8 | UInt64(header[at + $1]) }
    }
    let (tableSize, _) = number(80, 4).multipliedReportingOverflow(by: number(84, 4))
    let (table, overflow) = number(72, 8).multipliedReportingOverflow(by: sectorSize)
    if !overflow, tableSize <= 1 << 20 {
      write(CRC32.of(bytes(at: table, count: Int(tableSize))), at: offset + 88)
    }
    let size = Int(number(12, 4))
    guard (20...Int(sectorSize)).contains(size) else { return }
    write(0 as UInt32, at: offset + 16)
    write(CRC32.of(bytes(at: offset, count: size)), at: offset + 16)
  }
}
