// SPDX-License-Identifier: Apache-2.0
//
// NetTransmitter: from the driver to the host (virtio 1.3, 5.1.6.2), one system call a frame.
//
// A chain is a header and a frame. Whatever becomes of it, it is given back at once: a frame that
// is wrong, that the host does not take, or that meets a link that is down is dropped and counted,
// as a cable would do it. Only a host that is merely busy is waited for, a while.

import Linux
import VirtioRing

struct NetTransmitter: QueueBody, ~Copyable {
  private let name: String
  private let tap: FileDescriptor
  private let format: NetFormat
  private let link: NetLink
  private let trouble: TroubleReport
  /// How long a full tap is waited for before the frame is dropped.
  private let patience: Duration
  private var chain = Chain()
  private var window = FrameWindow(spillCapacity: 0)
  /// The tap was waited for in vain: nobody is waited for again until it takes a frame.
  private var isStuck = false

  init(
    name: String, tap: consuming FileDescriptor, format: NetFormat, link: NetLink,
    trouble: TroubleReport, patience: Duration
  ) {
    self.name = name
    self.tap = tap
    self.format = format
    self.link = link
    self.trouble = trouble
    self.patience = patience
  }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      while !port.isInterrupted, try queue.pop(into: &chain) {
        port.meter.take()
        guard transmit(&queue, &port) else {
          port.meter.giveUp()
          queue.unpop(chain)
          break
        }
        port.meter.settle()
        queue.push(chain, written: 0)
      }
      try port.sleep(&queue)
    }
  }

  /// Passes the chain's frame on, or drops it. - Returns: false where the queue was wanted back
  /// first.
  @inline(__always)
  private mutating func transmit(_ queue: inout Virtqueue, _ port: inout QueuePort) -> Bool {
    let headerSize = format.headerSize
    let frameBytes = chain.readableBytes &- headerSize
    do throws(FrameFault) {
      guard window.loadHeader(from: chain, size: headerSize) else { throw .tooShort }
      window.netHeader = try window.netHeader.checked(
        frameBytes: frameBytes, offloads: format.transmitOffloads)
      window.begin(headerSize: headerSize)
      guard window.append(.readable, of: chain, skipping: headerSize) else {
        throw .tooManyPieces
      }
    } catch {
      port.meter.countError()
      port.meter.served()
      trouble.report("\(name): dropped what the driver sent: \(error)")
      return true
    }
    guard link.isWanted else {
      drop(&port)
      return true
    }
    return send(frameBytes, &queue, &port)
  }

  @inline(__always)
  private mutating func send(
    _ frameBytes: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) -> Bool {
    do throws(Errno) {
      try write(frameBytes, &port)
      return true
    } catch {
      guard error != .again || isStuck else { return wait(frameBytes, &queue, &port) }
      failed(error, &port)
      return true
    }
  }

  @inline(__always)
  private mutating func write(_ frameBytes: Int, _ port: inout QueuePort) throws(Errno) {
    _ = try window.write(to: tap)
    isStuck = false
    port.meter.served(bytesFromGuest: frameBytes)
  }

  /// Waits until the tap takes the frame. - Returns: false where the queue was wanted back first.
  @inline(never)
  private mutating func wait(
    _ frameBytes: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) -> Bool {
    let start = MonotonicClock.nanoseconds
    while true {
      let left = patience - .nanoseconds(MonotonicClock.nanoseconds &- start)
      isStuck = left <= .zero
      if !isStuck {
        let wake = port.sleepInRequest(
          &queue, for: WakeSource(tap.raw, .writable), timeout: left)
        if wake.contains(.interrupted) { return false }
      }
      do throws(Errno) {
        try write(frameBytes, &port)
        return true
      } catch {
        guard error != .again || isStuck else { continue }
        failed(error, &port)
        return true
      }
    }
  }

  /// The host does not take the frame.
  private func failed(_ error: Errno, _ port: inout QueuePort) {
    drop(&port)
    if TapBackend.isGone(error) {
      link.lose()
    } else if error != .again, error != .io {
      // An interface that is merely down says EIO, and its link is down already.
      trouble.report("\(name): the host's interface does not take a frame: \(error)")
    }
  }

  private func drop(_ port: inout QueuePort) {
    port.meter.countDropped()
    port.meter.served()
  }
}
