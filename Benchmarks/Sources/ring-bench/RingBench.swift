// SPDX-License-Identifier: Apache-2.0
//
// ring-bench: how long VirtioRing takes to take a chain and give it back, beside the same checks in C.
//
// Only the device's side is on the clock: the driver offers 64 chains, a contender serves them, the
// driver collects. The contenders take turns batch by batch; a sample is the best of 4000 batches, a row
// shows the median of five samples of each and the ratios, since absolute times mean little on a shared
// machine. Nobody's take and give back is inlined into the loop: both are libraries.

import Glibc
import VirtioRing
import VirtioTesting

@main
struct RingBench {
  /// Batches in a sample; the argument `--quick` takes few, for counting instructions.
  private static let batchesPerSample = CommandLine.arguments.contains("--quick") ? 20 : 4000
  private static let samples = 5

  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3, let gcc = Yardstick(path: arguments[1]),
      let clang = Yardstick(path: arguments[2])
    else {
      print("usage: ring-bench GCC.so CLANG.so [--json]   (see Benchmarks/ring.sh)")
      exit(2)
    }
    let asJSON = arguments.contains("--json")
    if !asJSON { print("take and give back one chain, ns, medians of \(samples)") }
    for scenario in Scenario.all where arguments.count < 5 || scenario.name == arguments[4] {
      let row = try measure(scenario, gcc: gcc, clang: clang)
      print(asJSON ? row.json : row.text)
    }
  }

  private static func measure(
    _ scenario: Scenario, gcc: Yardstick, clang: Yardstick
  ) throws -> Row {
    var ours = try Workload(scenario)
    var queue = try Virtqueue(ours.driver.configuration, memory: ours.memory.guestMemory)
    var chain = Chain()
    var gccs = try Workload(scenario)
    var clangs = try Workload(scenario)
    guard
      let gccQueue = YardstickQueue(
        gcc, gccs.driver.configuration, memory: gccs.memory.guestMemory),
      let clangQueue = YardstickQueue(
        clang, clangs.driver.configuration, memory: clangs.memory.guestMemory)
    else { preconditionFailure("the yardstick has no memory") }

    var times = (ours: [Double](), gcc: [Double](), clang: [Double]())
    for sample in 0...samples {
      var best = (ours: UInt64.max, gcc: UInt64.max, clang: UInt64.max)
      for _ in 0..<batchesPerSample {
        try time(&ours, &best.ours) { limit in try serve(&queue, &chain, limit: limit) }
        try time(&gccs, &best.gcc) { gccQueue.serve(limit: $0, written: 4096) }
        try time(&clangs, &best.clang) { clangQueue.serve(limit: $0, written: 4096) }
      }
      // The first round warms up.
      guard sample > 0 else { continue }
      times.ours.append(Double(best.ours) / Double(Workload.batch))
      times.gcc.append(Double(best.gcc) / Double(Workload.batch))
      times.clang.append(Double(best.clang) / Double(Workload.batch))
    }
    return Row(
      name: scenario.name, ours: median(times.ours), gcc: median(times.gcc),
      clang: median(times.clang))
  }

  /// Serves a batch as a device that does nothing. - Returns: how many chains there were.
  @inline(never)
  private static func serve(
    _ queue: inout Virtqueue, _ chain: inout Chain, limit: Int
  ) throws(RingError) -> Int {
    var served = 0
    while served < limit, try queue.pop(into: &chain) {
      queue.push(chain, written: 4096)
      served += 1
    }
    return served
  }

  /// Times one batch and keeps the best: what disturbs only ever adds.
  private static func time(
    _ workload: inout Workload, _ best: inout UInt64, _ serve: (Int) throws -> Int
  ) throws {
    workload.offer()
    let start = now()
    let served = try serve(Workload.batch)
    best = min(best, now() - start)
    precondition(served == Workload.batch, "a batch was not served whole")
    try workload.collect()
  }

  private static func now() -> UInt64 {
    var time = timespec()
    // SAFETY: the call fills a local.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  private static func median(_ values: [Double]) -> Double {
    values.sorted()[values.count / 2]
  }
}

/// A line of the result.
struct Row {
  let name: String
  let ours: Double
  let gcc: Double
  let clang: Double

  var text: String {
    let name = name + String(repeating: " ", count: max(0, 30 - name.count))
    return "\(name) lgdev \(tenths(ours))  gcc -O2 \(tenths(gcc))  clang -O2 \(tenths(clang))"
      + "   ratio \(hundredths(ours / gcc)) to gcc, \(hundredths(ours / clang)) to clang"
  }

  var json: String {
    "{\"ring\": \"\(name)\", \"lgdev_ns\": \(tenths(ours)), \"gcc_ns\": \(tenths(gcc)), "
      + "\"clang_ns\": \(tenths(clang)), \"ratio_gcc\": \(hundredths(ours / gcc))}"
  }

  private func tenths(_ value: Double) -> String {
    let number = Int((value * 10).rounded())
    return "\(number / 10).\(number % 10)"
  }

  private func hundredths(_ value: Double) -> String {
    let number = Int((value * 100).rounded())
    return "\(number / 100).\(number % 100 < 10 ? "0" : "")\(number % 100)"
  }
}
