// SPDX-License-Identifier: Apache-2.0
//
// ConsoleInputQueue: the receive queue's work: what the host sends goes from the pipe of the console's
// thread straight into the guest's buffers, and the guest is called at once.

import Linux
import VirtioRing

struct ConsoleInputQueue: QueueBody, ~Copyable {
  private let name: String
  private let pipe: FileDescriptor
  private let trouble: TroubleReport
  private var chain = Chain()
  private var window = SegmentWindow()

  init(name: String, pipe: consuming FileDescriptor, trouble: TroubleReport) {
    self.name = name
    self.pipe = pipe
    self.trouble = trouble
  }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      while !port.isInterrupted, try queue.pop(into: &chain) {
        if let count = fill(&queue, &port) {
          port.meter.settle()
          queue.push(chain, written: UInt32(count))
          port.call(&queue)
        } else {
          queue.unpop(chain)
        }
      }
      try port.sleep(&queue)
    }
  }

  /// Puts into the chain what is there, waiting until something is.
  ///
  /// - Returns: how many bytes; nil where the queue is wanted back before anything came.
  private mutating func fill(_ queue: inout Virtqueue, _ port: inout QueuePort) -> Int? {
    window.select(.writable, of: chain)
    guard window.byteCount > 0 else {
      port.meter.countError()
      trouble.report("\(name): the driver gave a buffer for input that cannot be written")
      port.meter.returned(chains: 1)
      return 0
    }
    while !port.isInterrupted {
      do throws(Errno) {
        // There may be data from here on.
        _ = port.meter.now
        let count = try window.read(from: pipe)
        guard count > 0 else {
          // The console was shut down: nothing will come any more.
          _ = port.sleepInRequest(&queue, for: .none)
          continue
        }
        port.meter.take()
        port.meter.served(bytesToGuest: count)
        return count
      } catch .again {
        _ = port.sleepInRequest(&queue, for: WakeSource(pipe.raw, .readable))
      } catch {
        port.meter.countError()
        trouble.report("\(name): cannot give input: \(error)")
        port.meter.returned(chains: 1)
        return 0
      }
    }
    return nil
  }
}
