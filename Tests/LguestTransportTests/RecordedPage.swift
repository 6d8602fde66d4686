// SPDX-License-Identifier: Apache-2.0

import Backends
import LguestTesting
import VirtioRing

@testable import LguestTransport

/// A device page as it was recorded, read as a guest reads it.
struct RecordedPage {
  struct Queue {
    let size: UInt16
    let interrupt: UInt64
    let address: UInt64
  }

  struct Slot {
    let address: UInt64
    let device: DeviceDescription
    let queues: [Queue]
    let acceptedAddress: UInt64
  }

  let address: UInt64
  let bytes: [UInt8]
  private(set) var slots: [Slot] = []

  /// Of a guest's calls; nil where no guest was made.
  init?(_ guest: RecordedGuest) {
    for call in guest.calls {
      if case .page(let address, let bytes) = call.kind {
        self.init(address: address, bytes: bytes)
        return
      }
    }
    return nil
  }

  private init(address: UInt64, bytes: [UInt8]) {
    self.address = address
    self.bytes = bytes
    var rest = bytes[...]
    while rest.count >= 5 {
      let header = Array(rest.prefix(5))
      let (queueCount, featureCount) = (Int(header[1]), Int(header[2]))
      let size = 5 + 8 * queueCount + 2 * featureCount + Int(header[3])
      add(
        header[0], Array(rest.prefix(size)), queueCount, featureCount, at: bytes.count - rest.count)
      rest = rest.dropFirst(size)
    }
  }

  private mutating func add(
    _ type: UInt8, _ bytes: [UInt8], _ queueCount: Int, _ featureCount: Int, at offset: Int
  ) {
    let queues = (0..<queueCount).map { index in
      Queue(
        size: bytes.littleEndian(at: 5 + 8 * index),
        interrupt: UInt64(bytes.littleEndian(UInt16.self, at: 7 + 8 * index)),
        address: UInt64(bytes.littleEndian(UInt32.self, at: 9 + 8 * index)) * 4096)
    }
    let offered = 5 + 8 * queueCount
    let features = (0..<featureCount).reduce(UInt64(0)) {
      $0 | UInt64(bytes[offered + $1]) << UInt64(8 * $1)
    }
    slots.append(
      Slot(
        address: address + UInt64(offset),
        device: DeviceDescription(
          name: "device\(slots.count)", type: type, queues: queues.map(\.size),
          features: Features(rawValue: features),
          configuration: Array(bytes[(offered + 2 * featureCount)...])),
        queues: queues, acceptedAddress: address + UInt64(offset + offered + featureCount)))
  }
}
