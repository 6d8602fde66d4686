// SPDX-License-Identifier: Apache-2.0

/// What `--rng` asks for: nothing, or `source=/dev/hwrng`.
struct RngArgument: Equatable {
  /// The socket's name, where the user chose it.
  var id: String?
  /// A file or device to read from; nil for getrandom(2).
  var source: String?

  /// What stands for a --rng without a value.
  static let plain = "on"

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--rng")
    if text != Self.plain { try reader.read(text) }
    source = try reader.string("source")
    id = try reader.deviceName()
    try reader.finish()
  }
}
