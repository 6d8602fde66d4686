// SPDX-License-Identifier: Apache-2.0
//
// RngQueue: the work of an entropy device's only queue.
//
// A request is a device-writable buffer. It is filled completely, up to the limit: old drivers count on
// that. A source that has nothing is waited for, in the middle of the request but never so that the
// queue could not be stopped: the request is then given back untouched, and what it had received is
// lost, which random bytes bear well.
//
// A source that has ended or failed is not replaced by another one behind the user's back, nor read from its
// start again: no random byte is given twice. What was there completes the request. Where nothing was, the
// request waits, since a device must give at least one byte (virtio 1.3, 5.4.6.2), and Linux never asks
// again once it was given none. The source is looked at once a second then: a file may grow, a device may
// come back. That it has ended, or why it fails, is reported once, and again after it has given something.

import Linux
import VirtioRing

struct RngQueue: QueueBody, ~Copyable {
  /// How long to wait for a source that cannot be polled: the kernel's generator before it is ready, a
  /// device whose driver has no poll function and so always claims to be readable.
  private static let retryInterval = Duration.milliseconds(10)

  /// How long to wait before a source that has ended or failed is looked at again.
  private static let absenceInterval = Duration.seconds(1)

  private let name: String
  private let source: EntropySource
  private let limit: Int
  private let trouble: TroubleReport
  /// Why the source gave nothing when it was read last.
  private var absence: Absence?
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

  /// Why a source gives nothing, where waiting for it may be in vain.
  private enum Absence: Equatable {
    case ended
    case failed(Errno)
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
        window.advance(by: count)
        filled += count
        wasReady = false
        note(count > 0 ? nil : .ended, port)
      } catch .again {
        let canPoll = source.descriptor >= 0 && !wasReady
        let wake = port.sleepInRequest(
          &queue, for: canPoll ? WakeSource(source.descriptor, .readable) : .none,
          timeout: canPoll ? nil : Self.retryInterval)
        wasReady = wake.contains(.source)
        note(nil, port)
      } catch {
        note(.failed(error), port)
      }
      if absence != nil {
        guard filled == 0 else { break }
        _ = port.sleepInRequest(&queue, for: .none, timeout: Self.absenceInterval)
      }
      if port.isInterrupted, window.byteCount > 0 { return .interrupted }
    }
    return .filled(filled)
  }

  /// Remembers why the source gives nothing, or that it does give, and reports what is new.
  private mutating func note(_ new: Absence?, _ port: borrowing QueuePort) {
    guard new != absence else { return }
    absence = new
    switch new {
    case .ended:
      trouble.report("\(name): the entropy source has ended; the guest waits until it has more")
    case .failed(let error):
      trouble.report(
        "\(name): cannot read the entropy source: \(error); the guest waits until that passes")
    case nil: return
    }
    port.meter.countError()
  }
}
