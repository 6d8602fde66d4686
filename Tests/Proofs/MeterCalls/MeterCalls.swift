// SPDX-License-Identifier: Apache-2.0
//
// MeterCalls: a worker serves chains in batches of eight and counts them, so that no-metering-calls.sh can see what
// the counting costs. The arguments say how many chains, and whether they are counted; `--planted` allocates for
// each chain, to show that it would be seen.

import Backends
import Linux
import VirtioRing
import VirtioTesting

@main
struct MeterCalls {
  static func main() throws {
    let count = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1000
    let memory = TestMemory(byteCount: 1 << 20)
    var space = GuestSpace(0..<1 << 19)
    let plan = RingPlan.split(size: 64, in: &space)
    var driver = Driver(plan, memory: memory, features: [.version1])
    let queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    let kick = try EventFD()
    let call = try EventFD()
    let statistics = QueueStatistics()
    let running = try QueueWorker.start(
      name: "metered", queue: queue, body: CountingBody(),
      wiring: QueueWiring(
        kick: try kick.descriptor.duplicate(),
        call: CallTarget(signalling: try call.descriptor.duplicate())),
      statistics: statistics)
    let buffers: [DriverBuffer] = [.readable(1 << 19, 16), .writable((1 << 19) + 16, 4096)]
    var done = 0
    while done < count {
      for _ in 0..<8 {
        let fits = driver.stage(buffers.span)
        precondition(fits, "the ring is too short")
      }
      driver.publish()
      kick.signal()
      var left = 8
      while left > 0 {
        while try driver.collect() != nil { left -= 1 }
        if left > 0, !driver.allowCalls() {
          _ = try Poll.wait(for: .readable, on: call.descriptor)
          call.drain()
        }
      }
      done += 8
    }
    _ = running.stop()
    let reading = statistics.reading()
    let isMetered = !CommandLine.arguments.contains("--uncounted")
    precondition(reading.chains == UInt64(isMetered ? done : 0), "they are not counted right")
    precondition(reading.serviceTimes.total == reading.chains)
  }
}

private struct CountingBody: QueueBody, ~Copyable {
  private var chain = Chain()
  private var planted: [Int]? = CommandLine.arguments.contains("--planted") ? [] : nil
  private let isMetered = !CommandLine.arguments.contains("--uncounted")

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      try serveChains(&queue, &port.meter, &chain, &planted, isMetered: isMetered)
      try port.sleep(&queue)
    }
  }
}

/// What is looked at: a batch is taken, counted and given back.
@inline(never)
private func serveChains(
  _ queue: inout Virtqueue, _ meter: inout QueueMeter, _ chain: inout Chain,
  _ planted: inout [Int]?, isMetered: Bool
) throws(RingError) {
  var slot = 0
  while try queue.pop(into: &chain) {
    if isMetered { meter.take(slot) }
    queue.stage(chain, written: UInt32(truncatingIfNeeded: chain.writableBytes))
    if isMetered { meter.served(slot, bytesFromGuest: 16, bytesToGuest: chain.writableBytes) }
    if planted != nil { planted = [slot, chain.readableBytes] }
    slot = (slot &+ 1) & 31
  }
  if isMetered { meter.settle() }
  queue.publish()
}
