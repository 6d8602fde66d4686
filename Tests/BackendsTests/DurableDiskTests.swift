// SPDX-License-Identifier: Apache-2.0
//
// What is durable when the driver sees that a request is done, as storage sees it: the image is a file whose
// storage the test plays (FileServer.swift), so what counts is what the real calls of each engine have done to it.

import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("As storage sees it", .timeLimit(.minutes(20)))
struct DurableDiskTests {
  /// Ways in which a driver settles how durable a write is.
  enum Driver: CaseIterable, Sendable {
    /// It can flush, and write-back stays.
    case flushes
    /// It sets `writeback` to 0.
    case choosesWriteThrough
    /// It has no way to ask for durability.
    case neverFlushes
    /// A legacy one that sends barriers and cannot flush.
    case sendsBarriers

    var accepted: Features {
      switch self {
      case .flushes, .choosesWriteThrough: BlockBed.modern
      case .neverFlushes: [.version1]
      case .sendsBarriers: [.blockBarrier]
      }
    }
  }

  private static let byteCount = 256 << 10

  /// What was wrong, in a line each.
  private static func findings(
    _ engine: BlockOptions.Engine, _ cache: BlockOptions.Cache, _ driver: Driver
  ) throws -> [String] {
    let image = try TestImage(byteCount: byteCount)
    let path = image.path
    let worker = try WorkerThread.start(name: "durable", state: ()) { _ -> [String] in
      do {
        let server = try FileServer(at: path, byteCount: byteCount)
        defer { server.end() }
        return try findings(engine, cache, driver, server, path)
      } catch {
        return ["\(error)"]
      }
    }
    return worker.join()
  }

  private static func findings(
    _ engine: BlockOptions.Engine, _ cache: BlockOptions.Cache, _ driver: Driver,
    _ server: FileServer,
    _ path: String
  ) throws -> [String] {
    var options = BlockOptions(path: path)
    options.engine = engine
    options.cache = cache
    options.isLegacy = driver == .sendsBarriers
    let device = try BlockDevice(name: "durable0", options: options)
    let bed = try BlockBed(
      device, driver == .sendsBarriers ? .legacy : .split, accepted: driver.accepted, started: false
    )
    if driver == .choosesWriteThrough, !device.writeConfiguration(at: 32, [0]) {
      return ["write-through was refused"]
    }
    try bed.queue.start()
    defer { bed.stop() }

    let isCapped = cache == .writethrough || cache == .directsync
    let isDurable =
      cache != .neverSynced
      && (isCapped || driver == .choosesWriteThrough || driver == .neverFlushes)
    var findings: [String] = []
    func check(_ what: String, _ isRight: Bool) { if !isRight { findings.append(what) } }

    // Single sectors and whole pages, over one another too.
    for (index, (sector, count)) in [(0, 1), (7, 1), (8, 16), (7, 2), (104, 128)].enumerated() {
      let bytes = pattern(count * 512, seed: index + 2)
      let before = server.content.syncCount
      let answer = try bed.write(UInt64(sector), bytes)
      // The driver sees it as done: now the power fails.
      let content = server.content
      let range = sector * 512..<(sector + count) * 512
      check("write \(index) was answered with \(answer.status)", answer.status == 0)
      check("write \(index) is not in the file", Array(content.written[range]) == bytes)
      if isDurable {
        check("write \(index) is done and not durable", Array(content.durable[range]) == bytes)
      } else if !isCapped {
        check("write \(index) was synced", content.syncCount == before)
      }
    }
    if driver == .sendsBarriers {
      let bytes = pattern(512, seed: 99)
      let answer = try bed.request(BlockType.write | BlockType.barrier, sector: 300, out: bytes)
      let content = server.content
      check("the barrier was answered with \(answer.status)", answer.status == 0)
      if cache != .neverSynced {
        check(
          "the barrier's write is done and not durable",
          Array(content.durable[300 * 512..<301 * 512]) == bytes)
        check(
          "what was written before a barrier is not durable", content.durable == content.written)
      }
    } else {
      let answer = try bed.flush()
      let content = server.content
      check(
        "the flush was answered with \(answer.status)",
        answer.status == 0 || driver == .neverFlushes)
      if cache != .neverSynced, driver != .neverFlushes {
        check(
          "a flush is done and what it is for is not durable", content.durable == content.written)
      }
    }
    let content = server.content
    check("nothing was to be synced", cache != .neverSynced || content.syncCount == 0)
    // Whole pages go past the page cache where that is wanted.
    let isDirect = cache == .none || cache == .directsync
    check(
      "\(content.directWriteCount) writes went past the page cache",
      content.directWriteCount == (isDirect ? 2 : 0))
    return findings
  }

  @Test(
    "what is done is as durable as the cache mode and the driver say",
    arguments: [BlockOptions.Engine.uring, .threads], BlockOptions.Cache.allCases)
  func durability(engine: BlockOptions.Engine, cache: BlockOptions.Cache) throws {
    for driver in Driver.allCases {
      let found = try Self.findings(engine, cache, driver)
      #expect(found.isEmpty, "\(driver): \(found.joined(separator: "; "))")
    }
  }
}
