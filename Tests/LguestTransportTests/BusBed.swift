// SPDX-License-Identifier: Apache-2.0
//
// BusBed: a guest's devices without a guest: the test is the guest. It finds its devices in the device page,
// as a guest does, and knows nothing else.

import Backends
import HostTesting
import LguestTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import LguestTransport

/// The guest's side of the bus.
final class BusBed {
  static let memoryEnd: UInt64 = 0x10_0000

  let host: FakeHost
  let memory: RunMemory
  let words: TestMemory
  let bus: GuestBus
  let printed = LineCollector()
  let complaints = LineCollector()

  init(_ devices: [any Device]) throws {
    host = try FakeHost()
    let page = try DevicePage(devices.map { DeviceDescription($0) }, at: Self.memoryEnd)
    memory = try RunMemory(byteCount: page.end, name: nil)
    memory.write(page.bytes, at: page.address)
    words = try unsafe TestMemory(
      regions: [
        GuestRegion(guestAddress: 0, byteCount: memory.byteCount, hostAddress: memory.base)
      ], owner: memory)
    let printed = printed
    let complaints = complaints
    let gate = GuestGate(host)
    try gate.initialize(base: memory.base, pageLimit: memory.byteCount / 4096, entry: 0)
    bus = try GuestBus(
      devices, page: page, memory: memory, gate: gate,
      output: { printed.add(String(decoding: $0, as: UTF8.self)) },
      trouble: TroubleReport { complaints.add($0) })
  }

  deinit { bus.end() }

  /// The address of a device's descriptor.
  func descriptor(_ index: Int = 0) -> UInt64 {
    var address = Self.memoryEnd
    for _ in 0..<index {
      let header = words.bytes(at: address, count: 4)
      address += 5 + 8 * UInt64(header[1]) + 2 * UInt64(header[2]) + UInt64(header[3])
    }
    return address
  }

  /// Size, interrupt and address of a queue.
  func queue(_ index: Int, of device: Int = 0) -> (size: UInt16, interrupt: UInt16, address: UInt64)
  {
    let at = descriptor(device) + 5 + 8 * UInt64(index)
    let bytes = words.bytes(at: at, count: 8)
    return (
      bytes.littleEndian(at: 0), bytes.littleEndian(at: 2),
      UInt64(bytes.littleEndian(UInt32.self, at: 4)) * 4096
    )
  }

  /// The guest notifies an address: an eventfd takes it, or the launcher.
  func notify(_ address: UInt64) {
    if !host.notify(address) { bus.notified(address) }
  }

  /// Writes the status and notifies, as Linux 2.6.31 does.
  func setStatus(_ status: UInt8, of device: Int = 0) {
    words.store(status, at: descriptor(device) + 4)
    notify(descriptor(device))
  }

  func kick(_ index: Int, of device: Int = 0) { notify(queue(index, of: device).address) }

  /// Accepts features.
  func accept(_ features: UInt32, of device: Int = 0) {
    let header = words.bytes(at: descriptor(device), count: 4)
    let at = descriptor(device) + 5 + 8 * UInt64(header[1]) + UInt64(header[2])
    for index in 0..<UInt64(header[2]) {
      words.store(UInt8(truncatingIfNeeded: features >> UInt32(8 * index)), at: at + index)
    }
  }

  /// A driver for a queue, which zeroes the ring.
  func driver(
    _ index: Int, of device: Int = 0, features: Features = []
  ) throws -> SplitDriver {
    let queue = queue(index, of: device)
    let layout = try #require(RingLayout.legacy(at: queue.address, size: queue.size))
    return SplitDriver(
      RingPlan(layout: layout, size: queue.size), memory: words, features: features)
  }

  /// Waits until there has been such a call.
  func awaitCall(_ interrupt: UInt64) throws -> Bool {
    let deadline = MonotonicClock.nanoseconds + 300_000_000_000
    while !host.calls.contains([2, interrupt]) {
      guard MonotonicClock.nanoseconds < deadline else { return false }
      try host.waitForCall(.milliseconds(10))
    }
    return true
  }

  /// Sends a text through an echo device's queue and waits for it. - Returns: what came back.
  func echo(
    _ text: String, _ driver: inout SplitDriver, _ index: Int, of device: Int = 0
  ) throws -> String {
    let bytes = Array(text.utf8)
    words.write(bytes, at: 0x8000)
    words.fill(0, at: 0x9000, count: 4096)
    let count = UInt32(bytes.count)
    let isOffered = driver.offer([.readable(0x8000, count), .writable(0x9000, count)].span)
    #expect(isOffered)
    if driver.needsKick() { kick(index, of: device) }
    let deadline = MonotonicClock.nanoseconds + 300_000_000_000
    while MonotonicClock.nanoseconds < deadline {
      if let used = try driver.collect() {
        return String(decoding: words.bytes(at: 0x9000, count: Int(used.written)), as: UTF8.self)
      }
      try host.waitForCall(.milliseconds(1))
      _ = host.calls
    }
    return "nothing came back"
  }

  /// Sends a text through an echo device's queue, which must come back.
  func expectEcho(
    _ text: String, _ driver: inout SplitDriver, _ index: Int, of device: Int = 0,
    at place: SourceLocation = #_sourceLocation
  ) throws {
    let back = try echo(text, &driver, index, of: device)
    #expect(back == text, sourceLocation: place)
  }
}
