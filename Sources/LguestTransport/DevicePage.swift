// SPDX-License-Identifier: Apache-2.0
//
// DevicePage: the page behind the guest's memory in which it finds its devices, and the rings behind
// that page. Everything is placed once, before the guest starts; what is written in the page is the
// guest's to change, so nothing is ever read back from it but what a driver is to write there.
//
//     offset  bytes
//     0       1       virtio device type; 0 ends the list
//     1       1       number of virtqueues
//     2       1       feature bytes in each of the two bitmaps
//     3       1       configuration bytes
//     4       1       status, written by the driver
//     5       8 each  virtqueues: u16 size, u16 interrupt, u32 page number
//     ...             features offered, features accepted, configuration space

import VirtioRing

/// What the page says of a device, before it has a place.
struct DeviceDescription: Equatable {
  /// The device's name, for errors.
  var name: String
  var type: UInt8
  /// The sizes of its queues.
  var queues: [UInt16]
  var features: Features
  var configuration: [UInt8]
}

/// A device's place in the page.
struct DeviceSlot: Equatable {
  /// Guest-physical, of the descriptor: what the driver notifies after it has written the status.
  let address: UInt64
  let queues: [QueueSlot]
  /// What was offered.
  let features: Features
  /// How many bytes a bitmap has.
  let featureByteCount: Int

  /// Where the driver writes the status.
  var statusAddress: UInt64 { address + 4 }
  /// Where the driver writes the features that it accepts.
  var acceptedAddress: UInt64 {
    address + UInt64(DevicePage.headerSize + queues.count * DevicePage.queueSize + featureByteCount)
  }
}

/// A virtqueue's place.
struct QueueSlot: Equatable {
  let size: UInt16
  let interrupt: UInt64
  /// Guest-physical, of the ring: what the driver notifies to kick.
  let address: UInt64
  /// The ring's size, in whole pages.
  let byteCount: UInt64
  /// The legacy layout at that address (virtio 1.3, 2.7.2).
  let layout: RingLayout
}

/// The device page and the rings.
struct DevicePage: Equatable {
  static let headerSize = 5
  static let queueSize = 8
  /// Interrupt 0 is the guest's clock.
  static let interrupts: ClosedRange<UInt64> = 1...31

  /// The page's bytes.
  private(set) var bytes: [UInt8] = []
  private(set) var slots: [DeviceSlot] = []
  /// Guest-physical, of the page: the end of the memory.
  let address: UInt64
  /// Guest-physical, the end of all that the guest may touch.
  private(set) var end: UInt64

  /// Places devices, in the order in which guests number them.
  init(_ devices: [DeviceDescription], at address: UInt64) throws(LguestError) {
    self.address = address
    end = address + GuestSizes.page
    var interrupt = Self.interrupts.lowerBound
    for device in devices {
      try Self.check(device)
      var queues: [QueueSlot] = []
      for size in device.queues {
        guard Self.interrupts.contains(interrupt) else {
          throw .noInterruptLeft(device: device.name)
        }
        let slot = try Self.place(size, interrupt: interrupt, at: end, of: device)
        queues.append(slot)
        end += slot.byteCount
        interrupt += 1
      }
      try add(device, queues)
    }
    bytes += [UInt8](repeating: 0, count: Int(GuestSizes.page) - bytes.count)
  }

  private static func check(_ device: DeviceDescription) throws(LguestError) {
    func refuse(_ reason: String) -> LguestError {
      .deviceNotDescribable(device: device.name, reason: reason)
    }
    guard device.type != 0 else { throw refuse("device type 0 ends the list of devices") }
    guard device.queues.count <= 255 else { throw refuse("it has more than 255 queues") }
    guard device.configuration.count <= 255 else {
      throw refuse("its configuration space has more than 255 bytes")
    }
    guard device.features.rawValue >> 32 == 0 else { throw refuse("it has features above bit 31") }
  }

  private static func place(
    _ size: UInt16, interrupt: UInt64, at address: UInt64, of device: DeviceDescription
  ) throws(LguestError) -> QueueSlot {
    guard size > 0, size & (size - 1) == 0,
      let layout = RingLayout.legacy(at: address, size: size, alignment: GuestSizes.page),
      case .split(_, _, let used) = layout
    else {
      throw .deviceNotDescribable(device: device.name, reason: "a queue has \(size) entries")
    }
    let end = used + 6 + 8 * UInt64(size)
    return QueueSlot(
      size: size, interrupt: interrupt, address: address,
      byteCount: GuestSizes.roundedToPages(end - address), layout: layout)
  }

  private mutating func add(
    _ device: DeviceDescription, _ queues: [QueueSlot]
  ) throws(LguestError) {
    let featureByteCount = (32 - UInt32(device.features.rawValue).leadingZeroBitCount + 7) / 8
    var descriptor: [UInt8] = [
      device.type, UInt8(queues.count), UInt8(featureByteCount), UInt8(device.configuration.count),
      0,
    ]
    for queue in queues {
      descriptor.append(littleEndian: queue.size)
      descriptor.append(littleEndian: UInt16(queue.interrupt))
      descriptor.append(littleEndian: UInt32(truncatingIfNeeded: queue.address / GuestSizes.page))
    }
    for index in 0..<featureByteCount {
      descriptor.append(UInt8(truncatingIfNeeded: device.features.rawValue >> UInt64(8 * index)))
    }
    descriptor += [UInt8](repeating: 0, count: featureByteCount)
    descriptor += device.configuration
    guard bytes.count + descriptor.count <= Int(GuestSizes.page) else {
      throw .devicePageFull(device: device.name)
    }
    slots.append(
      DeviceSlot(
        address: address + UInt64(bytes.count), queues: queues, features: device.features,
        featureByteCount: featureByteCount))
    bytes += descriptor
  }
}
