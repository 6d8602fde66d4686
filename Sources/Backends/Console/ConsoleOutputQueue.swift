// SPDX-License-Identifier: Apache-2.0
//
// ConsoleOutputQueue: the transmit queue's work: the guest's bytes go into the pipe to the console's
// thread, straight from guest memory.
//
// A chain is given back as soon as its bytes are in the pipe: drivers wait for that, some of them
// spinning. When the pipe is full the chain waits, but the queue can be stopped all the same. The
// chain then goes back to the ring with some of its bytes sent; how many is kept in the device, so that the next
// worker goes on behind them. A reset forgets that, since the chain will never come again.

import Linux
import Synchronization
import VirtioRing

/// How much of the next chain has been sent already.
final class ConsoleProgress: Sendable {
  let byteCount = Atomic<Int>(0)
}

struct ConsoleOutputQueue: QueueBody, ~Copyable {
  private let name: String
  private let pipe: FileDescriptor
  private let progress: ConsoleProgress
  private let trouble: TroubleReport
  private var chain = Chain()
  private var window = SegmentWindow()

  init(
    name: String, pipe: consuming FileDescriptor, progress: ConsoleProgress,
    trouble: TroubleReport
  ) {
    self.name = name
    self.pipe = pipe
    self.progress = progress
    self.trouble = trouble
  }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      while !port.isInterrupted, try queue.pop(into: &chain) {
        port.meter.take()
        if send(&queue, &port) {
          port.meter.settle()
          queue.push(chain, written: 0)
        } else {
          port.meter.giveUp()
          queue.unpop(chain)
        }
      }
      try port.sleep(&queue)
    }
  }

  /// Sends the chain's bytes. - Returns: false where the queue is wanted back before that is done.
  private mutating func send(_ queue: inout Virtqueue, _ port: inout QueuePort) -> Bool {
    if chain.writableCount > 0 {
      port.meter.countError()
      trouble.report("\(name): the driver gave a writable buffer for output")
    }
    window.select(
      .readable, of: chain, skipping: progress.byteCount.exchange(0, ordering: .relaxed))
    while window.byteCount > 0 {
      do throws(Errno) {
        window.advance(by: try window.write(to: pipe))
      } catch .again {
        _ = port.sleepInRequest(&queue, for: WakeSource(pipe.raw, .writable))
      } catch .brokenPipe {
        // The console was shut down: there is nobody to tell.
        break
      } catch {
        port.meter.countError()
        trouble.report("\(name): cannot take output: \(error)")
        break
      }
      if port.isInterrupted, window.byteCount > 0 {
        progress.byteCount.store(chain.readableBytes &- window.byteCount, ordering: .relaxed)
        return false
      }
    }
    port.meter.served(bytesFromGuest: chain.readableBytes &- window.byteCount)
    return true
  }
}
