// SPDX-License-Identifier: Apache-2.0
//
// Driver and device in two threads, as in life: what single-threaded tests cannot show is the order
// of memory accesses, and words that change between a check and a use.

import HostTesting
import Linux
import RingHarness
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

/// What both threads reach.
private final class Shared: Sendable {
  let kick: EventFD
  let call: EventFD
  let stop = Atomic<Bool>(false)
  let hasBegun = Atomic<Bool>(false)
  let popped = Atomic<Int>(0)
  let refused = Atomic<Int>(0)

  init() throws(Errno) {
    kick = try EventFD()
    call = try EventFD()
  }

  /// Sleeps until the descriptor is signalled. - Returns: false where it never is.
  static func wait(_ event: borrowing EventFD) -> Bool {
    guard let ready = try? Poll.wait(for: .readable, on: event.descriptor, timeout: soon),
      ready.contains(.readable)
    else { return false }
    _ = event.drain()
    return true
  }
}

/// What the device thread takes over.
private struct DeviceState: ~Copyable, Sendable {
  var queue: Virtqueue
  let shared: Shared
}

@Suite("Driver and device in two threads", .timeLimit(.minutes(20)))
struct ThreadedTests {
  /// The loop of a queue worker: serves what there is, sleeps when there is nothing.
  private static func serve(_ state: consuming DeviceState) -> Bool {
    var state = state
    var chain = Chain(segmentCapacity: 8)
    do {
      while true {
        state.queue.disableKicks()
        while try state.queue.pop(into: &chain) {
          let value = chain.load(UInt64.self, at: 0) ?? 0
          chain.store(~value, at: 0)
          state.queue.push(chain, written: 8)
          if state.queue.needsCall() { state.shared.call.signal() }
        }
        if try state.queue.enableKicks() { continue }
        if state.shared.stop.load(ordering: .acquiring) { return true }
        guard Shared.wait(state.shared.kick) else { return false }
      }
    } catch { return false }
  }

  @Test(
    "sleep and wake each other without losing one wake-up", arguments: [false, true],
    [Features(), .eventIndex, .inOrder, [.eventIndex, .inOrder]])
  func noLostWakeup(packed: Bool, features: Features) throws {
    let bed = try RingBed(packed ? .packed : .split, size: 16, features: features)
    let shared = try Shared()
    let state = DeviceState(
      queue: try Virtqueue(bed.driver.configuration, memory: bed.memory.guestMemory),
      shared: shared)
    let worker = try WorkerThread<Bool>.start(name: "device", state: state, body: Self.serve)
    var sent: UInt64 = 0
    var received: UInt64 = 0
    var choices = RandomChoices(seed: 1)
    while received < 20_000 {
      // Bursts of any length, so that each side sleeps now and then.
      for _ in 0..<choices.below(17) {
        let slot = bed.buffers + (sent % 16) * 16
        bed.memory.store(sent, at: slot)
        guard bed.offer([.readable(slot, 8), .writable(slot + 8, 8)], token: sent) else { break }
        sent += 1
      }
      if bed.needsKick() { shared.kick.signal() }
      if choices.below(3) == 0 { bed.driver.suppressCalls() }
      while let used = try bed.driver.collect() {
        let answer = bed.memory.load(UInt64.self, at: bed.buffers + (used.token % 16) * 16 + 8)
        guard answer == ~used.token else {
          Issue.record("chain \(used.token) came back with \(answer)")
          break
        }
        received += 1
      }
      guard sent > received else { continue }
      let wanted = 1 + choices.below(Int(min(sent - received, 8)))
      if bed.requestCall(after: UInt16(wanted)) { continue }
      guard Shared.wait(shared.call) else {
        Issue.record("no call came: \(sent) sent, \(received) received")
        break
      }
    }
    shared.stop.store(true, ordering: .releasing)
    shared.kick.signal()
    let isWell = worker.join()
    #expect(isWell, "the device waited for a kick that did not come, or found a fault")
  }
}

/// A driver that rewrites every word of its ring while the device reads it.
private struct Hammer: Sendable {
  let bed: HammerBed
  let shared: Shared

  /// Values that are legal alone, and illegal in some combinations: the device must use what it
  /// has checked.
  func run() {
    var choices = RandomChoices(seed: 3)
    while !shared.stop.load(ordering: .relaxed) {
      let index = UInt16(choices.below(8))
      let address = [
        HostileBed.buffer, HostileBed.end - 16, HostileBed.border - 8, HostileBed.hole - 1,
      ][
        choices.below(4)]
      let byteCount: UInt32 = [0, 1, 16, 0x1000, 0xffff_fff0][choices.below(5)]
      let flags = UInt16(choices.below(8))
      let place =
        choices.below(3) == 0 ? HostileBed.table + UInt64(choices.below(4)) * 16 : nil
      if bed.packed {
        let ring = RawPackedRing(bed.plan, memory: bed.memory)
        let at = place ?? ring.descriptor(index)
        bed.memory.store(address, at: at)
        bed.memory.store(
          UInt64(byteCount) | UInt64(index) << 32
            | UInt64(flags | RawPackedRing.availableFlags(wrap: choices.below(2) == 0)) << 48,
          at: at + 8)
      } else {
        let ring = RawSplitRing(bed.plan, memory: bed.memory)
        let at = place ?? ring.descriptor(index)
        bed.memory.store(address, at: at)
        bed.memory.store(
          UInt64(byteCount) | UInt64(flags) << 32 | UInt64(choices.below(9)) << 48, at: at + 8)
        bed.memory.store(UInt16(choices.below(9)), at: ring.availableEntry(index))
        ring.availableIndex = UInt16(choices.below(12))
      }
      shared.hasBegun.store(true, ordering: .relaxed)
    }
  }
}

private struct HammerBed: Sendable {
  let memory: TestMemory
  let plan: RingPlan
  let packed: Bool
}

@Suite("Time of check, time of use (CVE-2020-14374 to 14378)", .timeLimit(.minutes(20)))
struct HammerTests {
  @Test(
    "words that change while a chain is taken never lead outside guest memory",
    arguments: [false, true])
  func hammer(packed: Bool) throws {
    let bed = try HostileBed(packed: packed, size: 8)
    let shared = try Shared()
    let hammer = Hammer(
      bed: HammerBed(memory: bed.memory, plan: bed.plan, packed: packed), shared: shared)
    let worker = try WorkerThread<Int>.start(name: "hammer", state: hammer) { hammer in
      hammer.run()
      return 0
    }
    while !shared.hasBegun.load(ordering: .relaxed) { pause(.milliseconds(1)) }
    let counts = takeAll(bed)
    shared.stop.store(true, ordering: .relaxed)
    _ = worker.join()
    #expect(counts.taken > 0)
    #expect(counts.refused > 0)
  }

  /// Takes what there is from one new queue after another; records what is wrong.
  private func takeAll(_ bed: HostileBed) -> (taken: Int, refused: Int) {
    var taken = 0
    var refused = 0
    let table = bed.memory.guestMemory
    for _ in 0..<200_000 where taken < 20_000 || refused < 20_000 {
      do {
        bed.queue = try Virtqueue(bed.configuration, memory: table)
        while try bed.queue.pop(into: &bed.chain) {
          taken += 1
          var sum = 0
          for segment in segments(of: bed.chain) {
            sum += segment.byteCount
            let isInside = (0..<table.regionCount).contains { number in
              let region = table[number]
              return segment.address >= region.hostAddress && segment.byteCount > 0
                && UInt64(segment.address - region.hostAddress) + UInt64(segment.byteCount)
                  <= region.byteCount
            }
            guard isInside else {
              Issue.record("segment \(segment) is outside guest memory")
              return (taken, refused)
            }
          }
          guard sum == bed.readableBytes + bed.writableBytes else {
            Issue.record("\(sum) bytes in segments, \(bed.readableBytes + bed.writableBytes) told")
            return (taken, refused)
          }
        }
      } catch { refused += 1 }
      bed.queue._checkInvariants()
    }
    return (taken, refused)
  }
}
