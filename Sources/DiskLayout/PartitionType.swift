// SPDX-License-Identifier: Apache-2.0
//
// PartitionType: what a table says that a partition is for, with names for the common types.

/// What a partition table says that a partition is for.
public enum PartitionType: Hashable, Sendable, CustomStringConvertible {
  /// A GPT's type GUID.
  case guid(GUID)
  /// An MBR's type byte.
  case mbr(UInt8)

  /// The GUID in lower case, or the byte as `0x83`.
  public var description: String {
    switch self {
    case .guid(let guid): guid.description
    case .mbr(let byte): "0x" + hexadecimal(byte, digits: 2)
    }
  }

  /// What users call it, such as "Linux filesystem". Nil for one that is not common.
  public var name: String? {
    switch self {
    case .guid(let guid): guidNames[guid.description]
    case .mbr(let byte): byteNames[byte]
    }
  }

  /// Whether it is the container of an MBR's logical partitions.
  var isExtended: Bool {
    switch self {
    case .mbr(0x05), .mbr(0x0f), .mbr(0x85): true
    default: false
    }
  }
}

private let guidNames: [String: String] = [
  "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI System",
  "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
  "024dee41-33e7-11d3-9d69-0008c781f39f": "MBR partition scheme",
  "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux filesystem",
  "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
  "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
  "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
  "ca7d7ccb-63ed-4c53-861c-1742536059cc": "Linux LUKS",
  "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "Linux home",
  "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "Linux server data",
  "8da63339-0007-60c0-c436-083ac8230908": "Linux reserved",
  "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux extended boot",
  "44479540-f297-41b2-9af7-d131d5f0458a": "Linux root (x86)",
  "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
  "69dad710-2ce4-4e3c-b16c-21a1d49abed3": "Linux root (ARM)",
  "b921b045-1df0-41c3-af44-4c6f280d3fae": "Linux root (ARM-64)",
  "72ec70a6-cf74-40e6-bd49-4bda08e8f224": "Linux root (RISC-V 64)",
  "8484680c-9521-48c6-9c11-b0720656f69e": "Linux /usr (x86-64)",
  "4d21b016-b534-45c2-a9fb-5c16e091fd2d": "Linux variable data",
  "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
  "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
  "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "Microsoft LDM metadata",
  "af9b60a0-1431-4f62-bc68-3311714a69ad": "Microsoft LDM data",
  "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
  "48465300-0000-11aa-aa11-00306543ecac": "Apple HFS+",
  "7c3457ef-0000-11aa-aa11-00306543ecac": "Apple APFS",
  "516e7cb4-6ecf-11d6-8ff8-00022d09712b": "FreeBSD data",
  "83bd6b9d-7f41-11dc-be0b-001560b84f0f": "FreeBSD boot",
  "516e7cb5-6ecf-11d6-8ff8-00022d09712b": "FreeBSD swap",
  "516e7cb6-6ecf-11d6-8ff8-00022d09712b": "FreeBSD UFS",
  "516e7cba-6ecf-11d6-8ff8-00022d09712b": "FreeBSD ZFS",
  "6a898cc3-1dd2-11b2-99a6-080020736631": "Solaris /usr or ZFS",
  "9d275380-40ad-11db-bf97-000c2911d1b8": "VMware VMKCORE",
  "aa31e02a-400f-11db-9590-000c2911d1b8": "VMware VMFS",
  "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
  "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
]

private let byteNames: [UInt8: String] = [
  0x00: "Empty", 0x01: "FAT12", 0x04: "FAT16 <32M", 0x05: "Extended", 0x06: "FAT16",
  0x07: "HPFS/NTFS/exFAT",
  0x0b: "W95 FAT32", 0x0c: "W95 FAT32 (LBA)", 0x0e: "W95 FAT16 (LBA)",
  0x0f: "W95 Extended (LBA)", 0x11: "Hidden FAT12", 0x14: "Hidden FAT16 <32M",
  0x16: "Hidden FAT16", 0x17: "Hidden HPFS/NTFS", 0x1b: "Hidden W95 FAT32",
  0x1c: "Hidden W95 FAT32 (LBA)", 0x1e: "Hidden W95 FAT16 (LBA)", 0x27: "Hidden NTFS WinRE",
  0x42: "Windows LDM", 0x63: "GNU HURD or SysV", 0x80: "Old Minix", 0x81: "Minix",
  0x82: "Linux swap", 0x83: "Linux", 0x85: "Linux extended", 0x88: "Linux plaintext",
  0x8e: "Linux LVM", 0xa5: "FreeBSD", 0xa6: "OpenBSD", 0xa8: "Darwin UFS", 0xa9: "NetBSD",
  0xaf: "HFS or HFS+", 0xbe: "Solaris boot", 0xbf: "Solaris", 0xda: "Non-FS data",
  0xe8: "LUKS", 0xea: "Linux extended boot", 0xee: "GPT", 0xef: "EFI (FAT)",
  0xfb: "VMware VMFS", 0xfc: "VMware VMKCORE", 0xfd: "Linux RAID autodetect",
]
