// SPDX-License-Identifier: Apache-2.0
//
// FrameLoad: 64-byte frames sent as fast as a device takes them, over vhost-user, without a virtual
// machine. 128 frames are in flight; those that came back go out again, with one kick for all of them if the
// device wants one; then the driver sleeps on the call eventfd.

import Linux
import VhostUserTesting
import VirtioRing
import VirtioTesting

/// A frame to nobody, of an experimental type: the host's stack counts it and drops it.
enum Frame {
  static let byteCount = 64
  /// The header before each frame: virtio_net_hdr with num_buffers (virtio 1.3, 5.1.6).
  static let headerByteCount = 12

  static var bytes: [UInt8] {
    [UInt8](repeating: 0, count: headerByteCount)
      + [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]
      + [UInt8](repeating: 0x5a, count: byteCount - 14)
  }
}

/// A running load on a transmit queue.
struct FrameLoad: ~Copyable {
  private static let depth = 128

  private var ring: FrontEndRing
  private let slots: [[DriverBuffer]]

  init(_ frontEnd: FrontEnd, _ ring: consuming FrontEndRing) {
    self.ring = ring
    slots = (0..<Self.depth).map { _ in
      let bytes = Frame.bytes
      let address = frontEnd.space.take(UInt64(bytes.count), alignment: 64)
      frontEnd.memory.memory.write(bytes, at: address)
      return [.readable(address, UInt32(bytes.count))]
    }
  }

  /// Runs for a time. - Returns: how many frames were taken.
  mutating func run(for duration: Duration) throws -> Int {
    let clock = ContinuousClock()
    let end = clock.now + duration
    var count = 0
    for slot in slots.indices { send(slot) }
    kick()
    while true {
      let isOver = clock.now >= end
      var sent = false
      while let used = try ring.driver.collect() {
        count += 1
        guard !isOver else { continue }
        send(Int(used.token))
        sent = true
      }
      if sent { kick() }
      if isOver, ring.driver.inFlightCount == 0 { return count }
      // A call when half of the frames are back, as network drivers ask for.
      if ring.driver.requestCall(after: UInt16(Self.depth / 2)) { continue }
      let found = try Poll.wait(
        for: .readable, on: ring.call.descriptor, timeout: .milliseconds(100))
      if !found.isEmpty { ring.call.drain() }
    }
  }

  private mutating func kick() {
    ring.driver.publish()
    if ring.driver.needsKick() { ring.kick.signal() }
  }

  private mutating func send(_ slot: Int) {
    let buffers = slots[slot]
    let fits = ring.driver.stage(buffers.span, token: UInt64(slot))
    precondition(fits, "the ring is shorter than the depth")
  }
}
