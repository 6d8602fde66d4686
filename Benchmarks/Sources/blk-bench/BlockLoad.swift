// SPDX-License-Identifier: Apache-2.0
//
// BlockLoad: random reads or writes, or flushes, at a fixed depth, over vhost-user, without a virtual machine.
//
// A slot is a request and its buffers. Whatever has come back is sent out again with another sector; one
// kick for all of it, if the back-end wants one; then the driver sleeps on the call eventfd, as a guest does.
// Nothing is allocated while it runs.

import Linux
import VhostUserTesting
import VirtioRing
import VirtioTesting

/// A running load on one queue of a block device.
struct BlockLoad: ~Copyable {
  /// What is asked for.
  enum Kind: String {
    case read
    case write
    case flush

    /// As the protocol has it (virtio 1.3, 5.2.6).
    var wireType: UInt32 {
      switch self {
      case .read: 0
      case .write: 1
      case .flush: 4
      }
    }
  }

  private let kind: Kind
  private let blockSize: UInt64
  private var ring: FrontEndRing
  private let memory: TestMemory
  private let slots: [[DriverBuffer]]
  private let blocks: UInt64
  private var random: UInt64 = 0x9e37_79b9_7f4a_7c15

  /// - Parameters:
  ///   - kind: what is asked for.
  ///   - blockSize: bytes of a read or write.
  ///   - depth: requests in flight.
  ///   - byteCount: how much of the disk is read or written.
  init(
    _ frontEnd: FrontEnd, _ ring: consuming FrontEndRing, _ kind: Kind, blockSize: UInt64,
    depth: Int, byteCount: UInt64
  ) {
    self.kind = kind
    self.blockSize = blockSize
    self.ring = ring
    memory = frontEnd.memory.memory
    blocks = byteCount / blockSize
    slots = (0..<depth).map { _ in
      let data = frontEnd.space.take(blockSize, alignment: 4096)
      let header = frontEnd.space.take(16)
      let status = frontEnd.space.take(1)
      let transfer =
        kind == .read
        ? DriverBuffer.writable(data, UInt32(blockSize)) : .readable(data, UInt32(blockSize))
      return [.readable(header, 16)] + (kind == .flush ? [] : [transfer]) + [.writable(status, 1)]
    }
  }

  /// Runs for a time. - Returns: how many requests were served, and how long each took.
  mutating func run(for duration: Duration) throws -> (count: Int, latencies: Latencies) {
    let clock = ContinuousClock()
    let end = clock.now + duration
    var started = [ContinuousClock.Instant](repeating: clock.now, count: slots.count)
    var latencies = Latencies()
    var count = 0
    for slot in slots.indices { send(slot) }
    ring.driver.publish()
    if ring.driver.needsKick() { ring.kick.signal() }
    while true {
      var sent = false
      let now = clock.now
      let isOver = now >= end
      while let used = try ring.driver.collect() {
        let slot = Int(used.token)
        let status: UInt8 = memory.load(UInt8.self, at: statusAddress(slot))
        precondition(status == 0, "a \(kind) failed")
        count += 1
        latencies.add(now - started[slot])
        guard !isOver else { continue }
        started[slot] = now
        send(slot)
        sent = true
      }
      if sent {
        ring.driver.publish()
        if ring.driver.needsKick() { ring.kick.signal() }
      }
      if isOver, ring.driver.inFlightCount == 0 { return (count, latencies) }
      if ring.driver.allowCalls() { continue }
      let found = try Poll.wait(
        for: .readable, on: ring.call.descriptor, timeout: .seconds(10))
      precondition(!found.isEmpty, "the back-end does not answer")
      ring.call.drain()
    }
  }

  private func statusAddress(_ slot: Int) -> UInt64 { slots[slot][slots[slot].count - 1].address }

  /// Writes a request for a random block; the driver publishes it.
  private mutating func send(_ slot: Int) {
    // xorshift64: the same sectors for every contender.
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    let header = slots[slot][0].address
    memory.store(UInt64(kind.wireType), at: header)
    memory.store(kind == .flush ? 0 : (random % blocks) * (blockSize / 512), at: header + 8)
    memory.store(UInt8(0xff), at: statusAddress(slot))
    let buffers = slots[slot]
    let fits = ring.driver.stage(buffers.span, token: UInt64(slot))
    precondition(fits, "the ring is shorter than the depth")
  }
}

/// Times of many requests, in microseconds up to a limit.
struct Latencies {
  private var buckets = [Int](repeating: 0, count: 100_000)
  private var count = 0

  mutating func add(_ time: Duration) {
    let microseconds = Int(time.components.attoseconds / 1_000_000_000_000)
    buckets[min(buckets.count - 1, max(0, microseconds))] += 1
    count += 1
  }

  /// The median, in microseconds.
  var median: Int {
    var seen = 0
    for (time, number) in buckets.enumerated() {
      seen += number
      if seen * 2 >= count { return time }
    }
    return 0
  }
}
