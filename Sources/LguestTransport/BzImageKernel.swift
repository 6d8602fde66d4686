// SPDX-License-Identifier: Apache-2.0
//
// BzImageKernel: a compressed kernel, by the x86 boot protocol (Linux, Documentation/x86/boot.txt).
//
// The real-mode part, whose length the header tells, is left out; the rest goes to 1 MiB and is
// entered there. It unpacks itself to a multiple of kernel_alignment, and starts what it has
// unpacked. Whether that was built for lguest cannot be seen from outside; that it looks at
// hardware_subarch, without which it could not, can: since version 2.07 of the protocol. One that was not
// built for it dies early, and the launcher tells what it may be.

enum BzImageKernel {
  private static let headerSize = 0x264
  private static let magic = Array("HdrS".utf8)
  private static let sectorSize = 512

  private enum Field {
    static let setupSectors = 0x1f1
    static let magic = 0x202
    static let version = 0x206
    static let loadFlags = 0x211
    static let start = 0x214
    static let moreLoadFlags = 0x236
    static let unpackedSize = 0x260
  }

  static func image(_ file: GuestFile) throws(LguestError) -> KernelImage {
    let path = file.path
    var header = try file.bytes(at: 0, upTo: headerSize)
    guard header.count > Field.magic + 4,
      Array(header[Field.magic..<Field.magic + 4]) == magic
    else { throw .notAKernel(path: path) }
    header += [UInt8](repeating: 0, count: headerSize - header.count)
    let version = header.littleEndian(UInt16.self, at: Field.version)
    guard version >= 0x207 else {
      throw .notForLguest(
        path: path,
        reason:
          "its boot protocol \(version >> 8).\(version & 0xff) knows no paravirtualised guests")
    }
    if version >= 0x20c, header[Field.moreLoadFlags] & 1 != 0 {
      throw .notI386(path: path, found: "x86-64")
    }
    guard header[Field.loadFlags] & 1 != 0 else {
      throw .notForLguest(path: path, reason: "it is a zImage, not a bzImage")
    }
    // 0 stands for 4, from times before the field.
    let sectors = header[Field.setupSectors] == 0 ? 4 : Int(header[Field.setupSectors])
    let offset = UInt64((sectors + 1) * sectorSize)
    guard offset < file.size else {
      throw .damagedKernel(path: path, reason: "nothing follows its header")
    }
    let byteCount = file.size - offset
    let entry = header.littleEndian(UInt32.self, at: Field.start)
    guard
      (GuestSizes.bzImageAddress..<GuestSizes.bzImageAddress + byteCount).contains(UInt64(entry))
    else { throw .damagedKernel(path: path, reason: "it starts outside of itself") }
    let unpacked = version >= 0x20a ? header.littleEndian(UInt32.self, at: Field.unpackedSize) : 0
    return KernelImage(
      pieces: [.init(offset: offset, byteCount: byteCount, address: GuestSizes.bzImageAddress)],
      entry: entry,
      // Without the field the packed size is the least that unpacking needs.
      end: UInt64(GuestSizes.kernelAlignment) + max(UInt64(unpacked), byteCount))
  }
}
