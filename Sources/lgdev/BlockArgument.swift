// SPDX-License-Identifier: Apache-2.0

import Backends

/// What `--block` asks for: `path=disk.img[,format=raw][,serial=D1][,ro][,engine=…][,cache=…][,queues=N]…`.
struct BlockArgument: Equatable {
  /// The socket's name, where the user chose it.
  var id: String?
  /// A raw image or a block device.
  var path: String
  /// What GET_ID answers, at most 20 bytes (virtio 1.3, 5.2.6).
  var serial: String?
  /// Nil refuses an image that looks like one of another format than raw.
  var format: BlockOptions.Format?
  var isReadOnly = false
  var engine = BlockOptions.Engine.auto
  var cache = BlockOptions.Cache.writeback
  /// Nil for as many as are usual with the transport.
  var queues: Int?
  /// The most entries of a queue; nil for what is usual.
  var queueSize: Int?
  /// The logical block size in bytes.
  var blockSize = 512

  init(path: String) {
    self.path = path
  }

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--block")
    try reader.read(text)
    let path = try reader.string("path")
    let limit = BlockOptions.serialByteCount
    serial = try reader.value("serial", "1 to \(limit) ASCII characters") { serial in
      let isPrintable = serial.utf8.allSatisfy { (0x20...0x7e).contains($0) }
      return isPrintable && serial.utf8.count <= limit ? serial : nil
    }
    format = try reader.choice("format")
    isReadOnly = try reader.flag("ro")
    engine = try reader.choice("engine") ?? .auto
    cache = try reader.choice("cache") ?? .writeback
    queues = try reader.integer("queues", in: 1...BlockOptions.maximumQueueCount)
    queueSize = try reader.value("queuesize", "a power of two from 4 to 1024") {
      decimal($0).flatMap { BlockOptions.queueSizes.contains($0) ? $0 : nil }
    }
    blockSize =
      try reader.value("blocksize", "512 or 4096") {
        $0 == "512" ? 512 : $0 == "4096" ? 4096 : nil
      } ?? 512
    id = try reader.deviceName()
    try reader.finish()
    guard let path else {
      throw reader.error(at: 1, "the image is missing; write path=disk.img")
    }
    self.path = path
  }
}

extension BlockOptions.Format {
  /// What `--format`, or its like elsewhere, asks for.
  init(argument: String, of option: String) throws(UsageError) {
    guard let format = Self(rawValue: argument) else {
      let formats = Self.allCases.map(\.rawValue).joined(separator: ", ")
      throw UsageError("\(option) \(argument): there is \(formats) only")
    }
    self = format
  }
}
