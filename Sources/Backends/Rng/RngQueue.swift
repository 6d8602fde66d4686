// SPDX-License-Identifier: Apache-2.0
//
// RngQueue: the work of an entropy device's only queue.
//
// A request is a device-writable buffer. It is filled completely, up to the limit: old drivers count on
// that. A source that has nothing is waited for, in the middle of the request but never so that the
// queue could not be stopped: the request is then given back untouched, and what it had received is
// lost, which random bytes bear well.
//
// A source that has ended or failed is not replaced by another one behind the user's back. The request is
// completed with what there was, perhaps nothing, counted as an error and reported; the next request
// tries again.

import Linux
import VirtioRing

struct RngQueue: QueueBody, ~Copyable {
  /// How long to wait for a source that cannot be polled: the kernel's generator before it is ready, a
  /// device whose driver has no poll function and so always claims to be readable.
  private static let retryInterval = Duration.milliseconds(10)

  private let name: String
  private let source: EntropySource
  private let limit: Int
  private let trouble: TroubleReport
  private var chain = Chain()
  private var window = SegmentWindow()

  init(
    name: String, source: consuming EntropySource, limit: Int, trouble: TroubleReport
  ) {
    self.name = name
    self.source = source
    self.limit = min(limit, Int(UInt32.max))
    self.trouble = trouble
  }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      while !port.isInterrupted, try queue.pop(into: &chain) {
        port.meter.take()
        switch fill(&queue, &port) {
        case .filled(let written):
          giveBack(written, &queue, &port)
        case .failed(let written):
          port.meter.countError()
          giveBack(written, &queue, &port)
        case .interrupted:
          port.meter.giveUp()
          queue.unpop(chain)
        }
      }
      try port.sleep(&queue)
    }
  }

  private func giveBack(
    _ written: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    port.meter.served(bytesToGuest: written)
    port.meter.settle()
    queue.push(chain, written: UInt32(written))
  }

  private enum Outcome {
    case filled(Int)
    case failed(Int)
    case interrupted
  }

  /// Fills the chain's writable part, waiting as long as it takes.
  private mutating func fill(_ queue: inout Virtqueue, _ port: inout QueuePort) -> Outcome {
    window.select(.writable, of: chain, limit: limit)
    guard window.byteCount > 0 else {
      trouble.report("\(name): the driver gave a buffer that cannot be written")
      return .failed(0)
    }
    var filled = 0
    // Whether the source claimed to be readable after it was last found empty.
    var wasReady = false
    while window.byteCount > 0 {
      do throws(Errno) {
        let count = try source.read(into: window)
        guard count > 0 else {
          trouble.report("\(name): the entropy source has ended")
          return .failed(filled)
        }
        window.advance(by: count)
        filled += count
        wasReady = false
      } catch .again {
        let canPoll = source.descriptor >= 0 && !wasReady
        let wake = port.sleepInRequest(
          &queue, for: canPoll ? WakeSource(source.descriptor, .readable) : .none,
          timeout: canPoll ? nil : Self.retryInterval)
        wasReady = wake.contains(.source)
      } catch {
        trouble.report("\(name): cannot read the entropy source: \(error)")
        return .failed(filled)
      }
      if port.isInterrupted, window.byteCount > 0 { return .interrupted }
    }
    return .filled(filled)
  }
}
