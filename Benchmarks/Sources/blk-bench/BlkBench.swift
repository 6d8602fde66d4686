// SPDX-License-Identifier: Apache-2.0
//
// blk-bench: loads a vhost-user block device that somebody else runs, and says how fast it was and what
// it cost. Benchmarks/blk.py runs it against lgdev and qemu-storage-daemon in turn.

import Backends
import Measuring
import VhostUserTesting
import VirtioRing

@main
struct BlkBench {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 8, let kind = BlockLoad.Kind(rawValue: arguments[2]),
      let blockSize = UInt64(arguments[3]), let depth = Int(arguments[4]),
      let seconds = Int(arguments[5]), let pid = Int32(arguments[6]),
      let mebibytes = UInt64(arguments[7])
    else {
      print(
        "usage: blk-bench SOCKET read|write|flush BYTES DEPTH SECONDS BACKEND-PID MEBIBYTES")
      return
    }
    let frontEnd = try FrontEnd(connectingTo: arguments[1], memory: 16 << 20)
    let ring = try frontEnd.bringUp(
      [.version1, .eventIndex, .indirectDescriptors, .blockFlush], size: 512)
    var load = BlockLoad(
      frontEnd, ring, kind, blockSize: blockSize, depth: depth, byteCount: mebibytes << 20)
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
