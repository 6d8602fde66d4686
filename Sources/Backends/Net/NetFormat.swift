// SPDX-License-Identifier: Apache-2.0
//
// NetFormat: what the two sides of a network device have settled on, in the words of the data path.

import VirtioRing

/// What the receiver of a frame takes in its header.
struct FrameOffloads: OptionSet, Sendable, Hashable {
  let rawValue: UInt8

  /// A checksum still to be completed; without it there is none of the others.
  static let checksum = FrameOffloads(rawValue: 1)
  /// TCP segments over IPv4.
  static let tso4 = FrameOffloads(rawValue: 2)
  /// TCP segments over IPv6.
  static let tso6 = FrameOffloads(rawValue: 4)
  /// Congestion marks in them.
  static let ecn = FrameOffloads(rawValue: 8)
  /// UDP datagrams to be fragmented.
  static let ufo = FrameOffloads(rawValue: 16)

  static let all: FrameOffloads = [.checksum, .tso4, .tso6, .ecn, .ufo]

  /// Without what lacks its condition (virtio 1.3, 5.1.3.1): everything needs the checksum,
  /// congestion marks need TCP segments.
  var consistent: FrameOffloads {
    guard contains(.checksum) else { return [] }
    return isDisjoint(with: [.tso4, .tso6]) ? subtracting(.ecn) : self
  }

  /// Whether frames may be longer than the link's own packets.
  var hasSegments: Bool { !isDisjoint(with: [.tso4, .tso6, .ufo]) }

  /// What a driver takes.
  init(driver features: Features) {
    self.init(features, .netGuestChecksum, .netGuestTSO4, .netGuestTSO6, .netGuestECN, .netGuestUFO)
  }

  /// What a device takes.
  init(device features: Features) {
    self.init(features, .netChecksum, .netHostTSO4, .netHostTSO6, .netHostECN, .netHostUFO)
  }

  private init(
    _ features: Features, _ checksum: Features, _ tso4: Features, _ tso6: Features, _ ecn: Features,
    _ ufo: Features
  ) {
    var offloads: FrameOffloads = []
    if features.contains(checksum) { offloads.insert(.checksum) }
    if features.contains(tso4) { offloads.insert(.tso4) }
    if features.contains(tso6) { offloads.insert(.tso6) }
    if features.contains(ecn) { offloads.insert(.ecn) }
    if features.contains(ufo) { offloads.insert(.ufo) }
    self = offloads
  }

  init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The features with which a driver and a device say that they take these.
  var features: Features {
    var features: Features = []
    if contains(.checksum) { features.formUnion([.netChecksum, .netGuestChecksum]) }
    if contains(.tso4) { features.formUnion([.netHostTSO4, .netGuestTSO4]) }
    if contains(.tso6) { features.formUnion([.netHostTSO6, .netGuestTSO6]) }
    if contains(.ecn) { features.formUnion([.netHostECN, .netGuestECN]) }
    if contains(.ufo) { features.formUnion([.netHostUFO, .netGuestUFO]) }
    return features
  }
}

/// How frames look between a driver and its device.
struct NetFormat: Sendable, Equatable {
  /// Of the header, in bytes: 12, or 10 for legacy drivers without MRG_RXBUF (virtio 1.3, 5.1.6).
  let headerSize: Int
  /// Whether a received frame may take several buffers.
  let mergesBuffers: Bool
  /// What may come from the driver.
  let transmitOffloads: FrameOffloads
  /// What may go to the driver.
  let receiveOffloads: FrameOffloads

  /// Ethernet's two addresses and its type.
  static let minimumFrame = 14
  /// The longest IP packet, an Ethernet header and one VLAN tag.
  static let maximumFrame = 65535 + 14 + 4

  /// What follows from the features that a driver accepted.
  init(_ accepted: Features) {
    mergesBuffers = accepted.contains(.netMergeBuffers)
    headerSize =
      mergesBuffers || accepted.contains(.version1) ? NetHeader.longSize : NetHeader.shortSize
    transmitOffloads = FrameOffloads(device: accepted).consistent
    receiveOffloads = FrameOffloads(driver: accepted).consistent
  }
}
