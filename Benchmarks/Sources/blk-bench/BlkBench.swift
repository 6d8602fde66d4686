// SPDX-License-Identifier: Apache-2.0
//
// blk-bench: loads a vhost-user block device that somebody else runs, and says how fast it was and what
// it cost. Benchmarks/blk.py runs it against lgdev and qemu-storage-daemon in turn.

import Measuring
import VhostUserTesting
import VirtioRing

@main
struct BlkBench {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 6, let depth = Int(arguments[2]), let seconds = Int(arguments[3]),
      let pid = Int32(arguments[4]), let mebibytes = UInt64(arguments[5])
    else {
      print("usage: blk-bench SOCKET DEPTH SECONDS BACKEND-PID MEBIBYTES")
      return
    }
    let frontEnd = try FrontEnd(connectingTo: arguments[1], memory: 16 << 20)
    let ring = try frontEnd.bringUp(
      [.version1, .eventIndex, .indirectDescriptors], size: 128)
    var load = BlockLoad(frontEnd, ring, depth: depth, byteCount: mebibytes << 20)
    _ = try load.run(for: .milliseconds(300))
    let before = try ProcessorTime.nanoseconds(of: pid)
    let result = try load.run(for: .seconds(seconds))
    let cost = try ProcessorTime.nanoseconds(of: pid) - before
    let iops = result.count / seconds
    let nanoseconds = cost / max(1, result.count)
    print(
      "{\"iops\": \(iops), \"cpu_ns\": \(nanoseconds), "
        + "\"p50_us\": \(result.latencies.median)}")
  }
}
