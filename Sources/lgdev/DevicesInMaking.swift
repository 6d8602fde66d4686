// SPDX-License-Identifier: Apache-2.0

import Logging

/// The devices of a guest while they are made, in two steps.
///
/// First come disks and sources of randomness. Their making leaves no trace on the host and fails most often: so a
/// locked image is found before a tap is made. And it can wait for storage for ever: signals should end the process
/// by themselves meanwhile, and the terminal be as it was.
struct DevicesInMaking: Sendable {
  private let entries: [NamedDevice]
  private let make: @Sendable (NamedDevice) throws(HostError) -> MadeDevice
  private var made: [Int: MadeDevice] = [:]

  /// Makes the first ones.
  ///
  /// - Parameters:
  ///   - isLegacy: whether the guest is one of lguest.
  ///   - end: ends the guest, from any thread.
  init(
    _ devices: [NamedDevice], isLegacy: Bool = false, logger: Logger,
    end: @escaping @Sendable () -> Void
  ) throws(HostError) {
    entries = devices
    make = { @Sendable (entry) throws(HostError) in
      try MadeDevice(entry, isLegacy: isLegacy, logger: logger, end: end)
    }
    try make([.block, .rng])
  }

  /// Makes the others.
  ///
  /// - Returns: all, in the given order.
  mutating func finish() throws(HostError) -> [MadeDevice] {
    try make([.net, .console])
    defer { made = [:] }
    return entries.indices.compactMap { made[$0] }
  }

  private mutating func make(_ types: [DeviceType]) throws(HostError) {
    for type in types {
      for (index, entry) in entries.enumerated() where entry.device.type == type {
        made[index] = try make(entry)
      }
    }
  }
}
