// SPDX-License-Identifier: Apache-2.0

public import VirtioRing

/// The work of one queue: takes chains, serves them, gives them back.
///
/// A body runs on its worker's thread and owns what it needs there: scratch, buffers, its io_uring.
/// The smallest one looks like this:
///
///     mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
///       while !port.isInterrupted {
///         while !port.isInterrupted, try queue.pop(into: &chain) {
///           port.meter.take()
///           let written = serve(chain)
///           port.meter.served(bytesToGuest: written)
///           port.meter.settle()
///           queue.push(chain, written: UInt32(written))
///         }
///         try port.sleep(&queue)
///       }
///     }
public protocol QueueBody: ~Copyable, Sendable {
  /// Serves the queue until `port.isInterrupted`.
  ///
  /// It may be called again after it has returned, with the same state; the queue may have other
  /// memory then. However it ends, nothing may be in flight: requests under way are finished and given
  /// back, buffers that were only held are given back with `unpop`.
  ///
  /// - Throws: what the driver did wrong with its ring. The worker reports it and waits to be stopped.
  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError)
}
