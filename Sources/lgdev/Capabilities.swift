// SPDX-License-Identifier: Apache-2.0

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
  var json: String { JSONText.of(self) }
}
