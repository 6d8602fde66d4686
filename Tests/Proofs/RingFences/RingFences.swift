// SPDX-License-Identifier: Apache-2.0
//
// ring-fences: a litmus test of both wake-ups of a ring, in both formats, with and without EVENT_IDX.
//
// One side says "wake me" and looks at the ring a last time before it sleeps; the other puts something into the
// ring and looks whether it must wake anybody. Between its store and its load each side has a full fence. Where
// one is missing the processor may load first (even x86 does that), both sides see the old words, one
// sleeps, and the other does not wake it: a lost wake-up.
//
// So two threads do just that, again and again, with random delays that let the two meet at every distance.
// Sleeping is waiting for a counter, so nothing of the system comes in between. A lost wake-up is not
// guessed from a time that has passed: it is there when one side sleeps, has got every wake-up that was sent, and
// has something in the ring. So the test cannot fail by chance, however slow the machine; on one processor it
// cannot fail at all.
//
//     ring-fences [seconds for each]

import Glibc
import Linux
import Synchronization
import VirtioRing
import VirtioTesting

/// How one side sleeps and the other wakes it.
final class Bed: Sendable {
  private let sent = Atomic<UInt64>(0)
  private let taken = Atomic<UInt64>(0)
  private let isAsleep = Atomic<Bool>(false)
  /// The test ends.
  let isOver = Atomic<Bool>(false)

  /// Sleeps until it is woken, or the test ends.
  func sleep() {
    let last = taken.load(ordering: .relaxed)
    isAsleep.store(true, ordering: .releasing)
    var patience = Patience()
    while sent.load(ordering: .acquiring) == last, !isOver.load(ordering: .relaxed) {
      patience.wait()
    }
    isAsleep.store(false, ordering: .releasing)
    taken.store(sent.load(ordering: .acquiring), ordering: .releasing)
  }

  /// Wakes who sleeps, or will.
  func wake() { sent.add(1, ordering: .releasing) }

  /// Whether nothing but a wake-up that has not been sent can end the sleep. - Precondition: only who
  /// calls this wakes.
  var isDeep: Bool {
    // In this order: who has taken the last wake-up was awake when it did, so it sleeps anew.
    taken.load(ordering: .acquiring) == sent.load(ordering: .relaxed)
      && isAsleep.load(ordering: .acquiring)
  }

  func end() { isOver.store(true, ordering: .releasing) }
}

/// Waits in a loop, and lets others have the processor where that takes long.
struct Patience {
  private var turns = 0

  mutating func wait() {
    turns &+= 1
    if turns & 0xff == 0 { sched_yield() }
  }
}

/// Short delays of random length.
struct Delay {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func pass(_ bed: Bed) {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    // A load that the compiler cannot leave out is as good a unit as any.
    for _ in 0..<(state >> 57) { _ = bed.isOver.load(ordering: .relaxed) }
  }
}

/// The device's thread and what it has found.
struct Device: ~Copyable, Sendable {
  var queue: Virtqueue
  let bed: Bed
  var chain = Chain(segmentCapacity: 4)

  init(queue: consuming Virtqueue, bed: Bed) {
    self.queue = queue
    self.bed = bed
  }

  /// Sleeps whenever there is nothing to take. - Returns: whether the ring held out.
  consuming func sleepBetweenChains() -> Bool {
    var delay = Delay(seed: 1)
    do {
      while !bed.isOver.load(ordering: .relaxed) {
        queue.disableKicks()
        while try queue.pop(into: &chain) { queue.push(chain, written: 0) }
        delay.pass(bed)
        if try !queue.enableKicks() { bed.sleep() }
      }
      return true
    } catch {
      return false
    }
  }

  /// Never sleeps, and wakes a driver that does.
  ///
  /// - Returns: whether no wake-up was lost. The test is over then.
  consuming func wakeTheDriver() -> Bool {
    var delay = Delay(seed: 2)
    var patience = Patience()
    do {
      while !bed.isOver.load(ordering: .relaxed) {
        // Asked first: a driver that sleeps offers nothing more.
        let isDeep = bed.isDeep
        guard try queue.pop(into: &chain) else {
          if isDeep {
            bed.end()
            return false
          }
          patience.wait()
          continue
        }
        delay.pass(bed)
        queue.push(chain, written: 0)
        if queue.needsCall() { bed.wake() }
      }
      return true
    } catch {
      bed.end()
      return false
    }
  }
}

/// The driver, on the thread that calls.
struct DriverSide: ~Copyable {
  var driver: Driver
  let bed: Bed
  let buffer: DriverBuffer
  let end: ContinuousClock.Instant
  var trials = 0

  /// Whether it has had its time. Looking costs more than a trial.
  private mutating func isLate() -> Bool {
    trials += 1
    return trials & 0x3ff == 0 && ContinuousClock.now >= end
  }

  /// Offers a chain after the other to a device that sleeps in between. - Returns: whether no wake-up was lost.
  mutating func wakeTheDevice() throws -> Bool {
    var delay = Delay(seed: 3)
    while !isLate() {
      delay.pass(bed)
      _ = driver.offer([buffer].span)
      if driver.needsKick() { bed.wake() }
      var patience = Patience()
      while true {
        // Asked first: a device that sleeps gives nothing more back.
        let isDeep = bed.isDeep
        if try driver.collect() != nil { break }
        if isDeep { return false }
        patience.wait()
      }
    }
    return true
  }

  /// Sleeps until each of its chains comes back, with a device that does not.
  mutating func sleepBetweenChains() throws {
    var delay = Delay(seed: 4)
    while !isLate(), !bed.isOver.load(ordering: .relaxed) {
      _ = driver.offer([buffer].span)
      _ = driver.needsKick()
      while try driver.collect() == nil {
        delay.pass(bed)
        if driver.allowCalls() { continue }
        bed.sleep()
        if bed.isOver.load(ordering: .relaxed) { return }
      }
    }
  }
}

/// Prints a line at once, so that nothing is lost where a trap ends the program.
private func say(_ line: String) {
  print(line)
  fflush(nil)
}

@main
struct RingFences {
  /// - Returns: whether no wake-up was lost.
  static func run(
    isPacked: Bool, features: Features, deviceSleeps: Bool, seconds: Double
  ) throws -> Bool {
    let byteCount: UInt64 = 0x10000
    let memory = TestMemory(byteCount: byteCount)
    var space = GuestSpace(0..<byteCount)
    let plan: RingPlan =
      isPacked
      ? .packed(size: 16, in: &space, indirectCapacity: 1)
      : .split(size: 16, in: &space, indirectCapacity: 1)
    let driver = Driver(plan, memory: memory, features: features)
    let bed = Bed()
    let device = Device(
      queue: try Virtqueue(driver.configuration, memory: memory.guestMemory), bed: bed)
    var side = DriverSide(
      driver: driver, bed: bed, buffer: .readable(space.take(64), 64),
      end: .now + .seconds(seconds))
    let thread = try WorkerThread<Bool>.start(name: "device", state: device) {
      (device: consuming Device) in
      deviceSleeps ? device.sleepBetweenChains() : device.wakeTheDriver()
    }
    var isWell = true
    if deviceSleeps {
      isWell = try side.wakeTheDevice()
    } else {
      try side.sleepBetweenChains()
    }
    bed.end()
    let isDeviceWell = thread.join()
    return isWell && isDeviceWell
  }

  static func main() throws {
    let arguments = CommandLine.arguments
    guard let seconds = arguments.count > 1 ? Double(arguments[1]) : 2, seconds > 0 else {
      say("usage: ring-fences [seconds for each]")
      exit(2)
    }
    var failed = 0
    for isPacked in [false, true] {
      for features in [Features(), .eventIndex] {
        for deviceSleeps in [false, true] {
          let name =
            "\(isPacked ? "packed" : "split")\(features == .eventIndex ? " EVENT_IDX" : ""): "
            + "\(deviceSleeps ? "kicks" : "calls")"
          let isWell = try run(
            isPacked: isPacked, features: isPacked ? features.union(.packedRing) : features,
            deviceSleeps: deviceSleeps, seconds: seconds)
          say(isWell ? "ok   \(name)" : "FAIL \(name): a wake-up was lost")
          failed += isWell ? 0 : 1
        }
      }
    }
    say("\(8 - failed) passed, \(failed) failed")
    exit(failed == 0 ? 0 : 1)
  }
}
