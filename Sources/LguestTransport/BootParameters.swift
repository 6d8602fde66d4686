// SPDX-License-Identifier: Apache-2.0
//
// BootParameters: the page at address 0 that a kernel finds at its start (Linux's struct boot_params),
// and the command line behind it. The host reads the size of the memory and of the initrd from it, so
// it is there before the host is told of the guest.

/// The boot parameters of a guest.
struct BootParameters: Equatable {
  /// 4096 bytes.
  let page: [UInt8]
  /// With its final zero.
  let commandLine: [UInt8]

  private enum Field {
    static let e820Count = 0x1e8
    static let version = 0x206
    static let loader = 0x210
    static let loadFlags = 0x211
    static let initrdAddress = 0x218
    static let initrdSize = 0x21c
    static let commandLine = 0x228
    static let kernelAlignment = 0x230
    static let hardware = 0x23c
    static let e820 = 0x2d0
  }

  private static let protocolVersion: UInt16 = 0x207
  private static let keepSegments: UInt8 = 0x40
  private static let unknownLoader: UInt8 = 0xff
  private static let lguestHardware: UInt32 = 1
  private static let usableMemory: UInt32 = 1

  /// A command line with its final zero.
  static func bytes(ofCommandLine line: String) throws(LguestError) -> [UInt8] {
    let text = Array(line.utf8)
    guard text.count < GuestSizes.commandLineLimit else {
      throw .commandLineTooLong(byteCount: text.count)
    }
    return text + [0]
  }

  init(_ plan: MemoryPlan, commandLine: String) throws(LguestError) {
    self.commandLine = try Self.bytes(ofCommandLine: commandLine)
    var page = [UInt8](repeating: 0, count: Int(GuestSizes.page))
    page[Field.e820Count] = 1
    page.put(UInt64(0), at: Field.e820)
    page.put(plan.memory, at: Field.e820 + 8)
    page.put(Self.usableMemory, at: Field.e820 + 16)
    page.put(Self.protocolVersion, at: Field.version)
    page[Field.loader] = Self.unknownLoader
    page[Field.loadFlags] = Self.keepSegments
    page.put(UInt32(GuestSizes.commandLine), at: Field.commandLine)
    page.put(GuestSizes.kernelAlignment, at: Field.kernelAlignment)
    page.put(Self.lguestHardware, at: Field.hardware)
    if let initrd = plan.initrd {
      page.put(UInt32(truncatingIfNeeded: initrd.address), at: Field.initrdAddress)
      page.put(UInt32(truncatingIfNeeded: initrd.byteCount), at: Field.initrdSize)
    }
    self.page = page
  }
}
