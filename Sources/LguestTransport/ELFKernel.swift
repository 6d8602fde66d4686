// SPDX-License-Identifier: Apache-2.0
//
// ELFKernel: a vmlinux, as ELF for i386 (the System V ABI's Intel386 supplement). Its segments go to
// their physical addresses; the entry is a physical address as well.

import Linux

enum ELFKernel {
  static let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
  private static let headerSize = 52
  private static let segmentSize = 32
  private static let i386: UInt16 = 3
  private static let executable: UInt16 = 2
  private static let load: UInt32 = 1
  /// As many as fit into a page with the header, with room to spare; Linux has five.
  private static let segmentLimit = 2047

  static func image(_ file: GuestFile) throws(LguestError) -> KernelImage {
    let path = file.path
    let identification = try file.header(at: 0, count: 20)
    let machine = identification.littleEndian(UInt16.self, at: 18)
    guard identification[4] == 1, identification[5] == 1, machine == i386 else {
      throw .notI386(path: path, found: name(ofMachine: machine))
    }
    guard identification.littleEndian(UInt16.self, at: 16) == executable else {
      throw .notAKernel(path: path)
    }
    let header = try file.header(at: 0, count: headerSize)
    let segmentCount = Int(header.littleEndian(UInt16.self, at: 44))
    guard header.littleEndian(UInt16.self, at: 42) == segmentSize,
      (1...segmentLimit).contains(segmentCount)
    else { throw .damagedKernel(path: path, reason: "its program headers make no sense") }
    let table = try file.header(
      at: UInt64(header.littleEndian(UInt32.self, at: 28)), count: segmentCount * segmentSize)
    let entry = header.littleEndian(UInt32.self, at: 24)
    let image = try plan(table, entry: entry, file)
    guard try mentionsLguest(image, file) else {
      throw .notForLguest(path: path, reason: "nothing in it mentions lguest")
    }
    return image
  }

  private static func plan(
    _ table: [UInt8], entry: UInt32, _ file: GuestFile
  ) throws(LguestError) -> KernelImage {
    var image = KernelImage(pieces: [], entry: entry, end: 0)
    var holdsEntry = false
    for at in stride(from: 0, to: table.count, by: segmentSize) {
      guard table.littleEndian(UInt32.self, at: at) == load else { continue }
      let offset = UInt64(table.littleEndian(UInt32.self, at: at + 4))
      let address = UInt64(table.littleEndian(UInt32.self, at: at + 12))
      let byteCount = UInt64(table.littleEndian(UInt32.self, at: at + 16))
      let memoryCount = UInt64(table.littleEndian(UInt32.self, at: at + 20))
      guard byteCount <= memoryCount, offset + byteCount <= file.size else {
        throw .damagedKernel(path: file.path, reason: "a segment passes the end of the file")
      }
      image.end = max(image.end, address + memoryCount)
      if (address..<address + memoryCount).contains(UInt64(entry)) { holdsEntry = true }
      if byteCount > 0 {
        image.pieces.append(.init(offset: offset, byteCount: byteCount, address: address))
      }
    }
    guard holdsEntry else {
      throw .damagedKernel(path: file.path, reason: "it starts outside of its segments")
    }
    return image
  }

  /// Whether a loaded byte string says "lguest": a Linux kernel names its paravirtualisation, its
  /// interrupt chip and its clock so if, and only if, it was built for it.
  private static func mentionsLguest(
    _ image: KernelImage, _ file: GuestFile
  ) throws(LguestError) -> Bool {
    let word = Array("lguest".utf8)
    let chunk: UInt64 = 1 << 18
    for piece in image.pieces {
      // From the end, as a kernel's strings are behind its code.
      var end = piece.byteCount
      while end > 0 {
        let start = end > chunk ? end - chunk : 0
        // Chunks overlap, so that no word is cut.
        let stop = min(end + UInt64(word.count - 1), piece.byteCount)
        let bytes = try file.header(at: piece.offset + start, count: Int(stop - start))
        if bytes.holds(word) { return true }
        end = start
      }
    }
    return false
  }

  private static func name(ofMachine machine: UInt16) -> String {
    switch machine {
    case 62: "x86-64"
    case 40: "Arm"
    case 183: "64-bit Arm"
    case 243: "RISC-V"
    default: "another machine (ELF machine \(machine))"
    }
  }
}
