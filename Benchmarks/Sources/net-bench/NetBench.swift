// SPDX-License-Identifier: Apache-2.0
//
// net-bench: frames per second into a tap, through a vhost-user device or straight. Benchmarks/net.py
// runs the two in turn.

import Linux
import Measuring
import VhostUserTesting
import VirtioRing

@main
struct NetBench {
  static func main() throws {
    let arguments = CommandLine.arguments
    if arguments.count == 4, arguments[1] == "--bare", let seconds = Int(arguments[3]) {
      return report(try bare(arguments[2], seconds), seconds, cost: nil)
    }
    guard arguments.count == 4, let seconds = Int(arguments[2]), let pid = Int32(arguments[3])
    else {
      print("usage: net-bench SOCKET SECONDS BACKEND-PID | net-bench --bare TAP SECONDS")
      return
    }
    let frontEnd = try FrontEnd(connectingTo: arguments[1])
    let ring = try frontEnd.bringUp(
      [.version1, .eventIndex, .indirectDescriptors], queue: 1, size: 256)
    var load = FrameLoad(frontEnd, ring)
    _ = try load.run(for: .milliseconds(300))
    let before = try ProcessorTime.nanoseconds(of: pid)
    let count = try load.run(for: .seconds(seconds))
    report(count, seconds, cost: try ProcessorTime.nanoseconds(of: pid) - before)
  }

  /// Writes frames to a tap of our own, one call each: what any user of a tap can do at best.
  private static func bare(_ name: String, _ seconds: Int) throws -> Int {
    let tap = try Tap.open(name: name, flags: [.tap, .noPacketInformation, .virtioHeader])
    try tap.setHeaderSize(Frame.headerByteCount)
    try tap.interface.setUp()
    let frame = Frame.bytes
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    var count = 0
    while clock.now < end {
      for _ in 0..<64 { _ = try tap.descriptor.write(frame) }
      count += 64
    }
    return count
  }

  private static func report(_ count: Int, _ seconds: Int, cost: Int?) {
    print("{\"pps\": \(count / seconds), \"cpu_ns\": \((cost ?? 0) / max(1, count))}")
  }
}
