// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// What `--print-capabilities` prints: a VhostUserBackendCapabilities object, as QEMU's
/// docs/interop/vhost-user.json defines it.
struct Capabilities: Codable, Equatable {
  /// The device type in QEMU's words, which are the virtio specification's.
  let type: String
  /// Optional parts of the command line that this type understands.
  let features: [String]?

  init(of type: DeviceType) {
    self.type = type.rawValue
    features = type == .block ? ["read-only", "blk-file"] : nil
  }

  /// The object as JSON.
  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
    // Strings and arrays of strings always encode.
    guard let data = try? encoder.encode(self) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }
}
