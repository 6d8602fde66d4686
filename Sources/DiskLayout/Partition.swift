// SPDX-License-Identifier: Apache-2.0
//
// Partition: one entry of a partition table, after it was checked against the image.

/// A partition of a disk image.
///
/// It lies inside the image: one that begins past its end is left out of the layout, one that ends past
/// it is cut at the end, each with a warning, as Linux does it.
public struct Partition: Equatable, Sendable {
  /// Its number, as in Linux: 1 to 4 for an MBR's primary partitions, from 5 on for the logical ones; for
  /// a GPT the entry's position, from 1 on.
  public internal(set) var number: Int

  /// Where it begins, in bytes from the image's start.
  public internal(set) var start: UInt64

  /// Its size in bytes, never 0. `start + byteCount` does not pass the image's size.
  public internal(set) var byteCount: UInt64

  /// What the table says that it is for.
  public internal(set) var type: PartitionType

  /// A GPT's name for it, as it stands there: any characters but U+0000. Nil where it is empty.
  public internal(set) var name: String?

  /// Its own identifier: a GPT's unique GUID in lower case; with an MBR Linux's PARTUUID, `1234abcd-05`. Nil
  /// where that is 0.
  public internal(set) var uuid: String?

  /// Whether firmware may boot from it: an MBR's flag 0x80, or a GPT's attribute bit 2.
  public internal(set) var isBootable = false

  /// A GPT's 64 attribute bits (UEFI 2.10, table 5-8); 0 with an MBR.
  public internal(set) var attributes: UInt64 = 0

  /// Whether it is an MBR's extended partition, the container of the logical ones. Those lie inside it; it
  /// has no file system.
  public internal(set) var isExtended = false

  /// The file system on it, if it is a known one.
  public internal(set) var fileSystem: DiskFileSystem?

  /// The name of its file in a directory that shows the disk: `part1`.
  public var fileName: String { "part\(number)" }
}
