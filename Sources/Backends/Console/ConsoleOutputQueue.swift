// SPDX-License-Identifier: Apache-2.0
//
// ConsoleOutputQueue: the transmit queue's work: the guest's bytes go into the pipe to the console's
// thread, straight from guest memory.
//
// A chain is given back as soon as its bytes are in the pipe: drivers wait for that, some of them
// spinning. When the pipe is full the chain waits, but the queue can be stopped all the same. The
// chain then goes back to the ring with some of its bytes sent, and the device keeps which chain it was and how
// many bytes, so that the next worker goes on behind them (see PartialOutput.swift).

import Linux
import VirtioRing

struct ConsoleOutputQueue: QueueBody, ~Copyable {
  private let name: String
  private let pipe: FileDescriptor
  private let progress: ConsoleProgress
  private let trouble: TroubleReport
  /// Of the chain that may come next, if it was stopped in the middle before.
  private var partial: PartialOutput?
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
    partial = progress.take()
    defer { progress.keep(partial) }
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
    window.select(.readable, of: chain, skipping: sentBefore(queue))
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
        partial = PartialOutput(
          of: chain, sent: chain.readableBytes &- window.byteCount, at: queue.position)
        return false
      }
    }
    port.meter.served(bytesFromGuest: chain.readableBytes &- window.byteCount)
    return true
  }

  /// How many of the chain's bytes were sent before the queue was stopped.
  private mutating func sentBefore(_ queue: borrowing Virtqueue) -> Int {
    guard let last = partial.take() else { return 0 }
    return last.isOf(chain, at: queue.position) ? last.byteCount : 0
  }
}
