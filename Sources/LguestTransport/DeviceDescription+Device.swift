// SPDX-License-Identifier: Apache-2.0
//
// What of a device an lguest guest is shown: legacy features, and a configuration space that nobody is
// told of when it changes. What needs to be told, or is written by the driver without a word to the
// device, is left out.

import Backends
import VirtioRing

extension DeviceDescription {
  /// Entries of a queue. Where Linux takes segments of 64 KiB and does not merge buffers it fills a receive queue
  /// with buffers of that size: more would be the memory of a small guest.
  private static let queueLimit: UInt16 = 256

  /// Ring features that old guests have, or may come to have; the ring itself has the legacy layout.
  private static let ring: Features = [.indirectDescriptors, .eventIndex]

  /// Merged receive buffers are newer than lguest's launcher, but Linux has had them since 2.6.29. They
  /// spare its guests buffers of 64 KiB, each a table of 18 descriptors. A guest that leaves them out has
  /// the header of 10 bytes.
  private static let net: Features = ring.union([
    .notifyOnEmpty, .netChecksum, .netGuestChecksum, .netMAC, .netMergeBuffers, .netGuestTSO4,
    .netGuestTSO6, .netGuestECN, .netHostTSO4, .netHostTSO6, .netHostECN,
  ])
  private static let block: Features = ring.union([
    .blockBarrier, .blockSizeMax, .blockSegmentMax, .blockReadOnly, .blockBlockSize, .blockFlush,
    .blockTopology,
  ])

  private static func shown(_ queueSizes: [UInt16]) -> [UInt16] {
    queueSizes.map { min($0, queueLimit) }
  }

  /// The least that a device takes in the page, and all behind it: for one that is not made yet.
  init(outlineOf name: String, queueSizes: [UInt16]) {
    self.init(
      name: name, type: .max, queues: Self.shown(queueSizes), features: [], configuration: [])
  }

  init(_ device: any Device) {
    let configuration = device.configuration()
    let shown: Features
    switch device.id {
    case .net: shown = Self.net
    case .block: shown = Self.block
    // A size that nobody knows is all zeros, which a guest would believe.
    case .console: shown = configuration.prefix(4).allSatisfy { $0 == 0 } ? [] : .consoleSize
    case .rng: shown = []
    default: shown = Features(rawValue: 0xffff_ffff)
    }
    let features = device.offeredFeatures.intersection(shown)
    self.init(
      name: device.name, type: UInt8(truncatingIfNeeded: device.id.rawValue),
      queues: Self.shown(device.queueSizes), features: features,
      configuration: device.id == .console && features.isEmpty ? [] : configuration)
  }
}
