// SPDX-License-Identifier: Apache-2.0
//
// A layout as JSON: the text of info.json.

extension DiskLayout {
  /// The layout as JSON, in a form that stays: members keep their names, meanings and order; later versions
  /// may add some. Numbers are bytes. A member without a value is null.
  ///
  /// ```json
  /// {
  ///   "table": "gpt",                   gpt, mbr or none
  ///   "sectorSize": 512,                512 or 4096
  ///   "size": 67108864,
  ///   "id": "…",                        the disk's: a GUID, or 0x1234abcd
  ///   "fileSystem": null,               of the disk as a whole
  ///   "partitions": [
  ///     {
  ///       "number": 1,
  ///       "file": "part1",
  ///       "start": 1048576,
  ///       "size": 33554432,
  ///       "type": "0fc63daf-…",         a GUID, or 0x83
  ///       "typeName": "Linux filesystem",
  ///       "name": "root",               a GPT's name
  ///       "uuid": "…",                  the partition's own: a GUID, or 1234abcd-01
  ///       "bootable": false,
  ///       "attributes": 0,              a GPT's attribute bits
  ///       "extended": false,            an MBR's container of logical partitions
  ///       "fileSystem": {
  ///         "kind": "ext4",             what blkid(8) calls TYPE
  ///         "label": "root",
  ///         "uuid": "…",
  ///         "version": "1.0",
  ///         "readOnlyOptions": null     for mount(8), besides ro: noload, norecovery, rescue=nologreplay
  ///       }
  ///     }
  ///   ],
  ///   "warnings": []
  /// }
  /// ```
  public var json: JSONText {
    .object([
      ("table", .string(table.rawValue)),
      ("sectorSize", .number(UInt64(sectorSize))),
      ("size", .number(byteCount)),
      ("id", JSONText(diskID)),
      ("fileSystem", fileSystem?.json ?? .null),
      ("partitions", .array(partitions.map(\.json))),
      ("warnings", .array(warnings.map { .string($0) })),
    ])
  }
}

extension Partition {
  fileprivate var json: JSONText {
    .object([
      ("number", .number(UInt64(number))),
      ("file", .string(fileName)),
      ("start", .number(start)),
      ("size", .number(byteCount)),
      ("type", .string(type.description)),
      ("typeName", JSONText(type.name)),
      ("name", JSONText(name)),
      ("uuid", JSONText(uuid)),
      ("bootable", .bool(isBootable)),
      ("attributes", .number(attributes)),
      ("extended", .bool(isExtended)),
      ("fileSystem", fileSystem?.json ?? .null),
    ])
  }
}

extension DiskFileSystem {
  fileprivate var json: JSONText {
    .object([
      ("kind", .string(kind.rawValue)),
      ("label", JSONText(label)),
      ("uuid", JSONText(uuid)),
      ("version", JSONText(version)),
      ("readOnlyOptions", JSONText(readOnlyOptions)),
    ])
  }
}
