// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Counters of one queue. Its worker adds to them, anybody may read: relaxed atomics, no lock.
///
/// They count over the life of the device, across stops and resets.
public final class QueueStatistics: Sendable {
  /// Chains given back.
  public let chains = Atomic<UInt64>(0)
  /// Bytes moved between the guest and the host.
  public let bytes = Atomic<UInt64>(0)
  /// Kicks heard.
  public let kicks = Atomic<UInt64>(0)
  /// Calls made.
  public let calls = Atomic<UInt64>(0)
  /// Requests that were answered with an error.
  public let errors = Atomic<UInt64>(0)
  /// Frames, or pieces of a stream, that were thrown away as nobody could or would take them.
  public let dropped = Atomic<UInt64>(0)
  /// Times the driver has broken the ring.
  public let faults = Atomic<UInt64>(0)

  /// All counters at zero.
  public init() {}

  /// Counts requests that were served.
  @inline(__always)
  public func countServed(chains: Int, bytes: Int) {
    self.chains.add(UInt64(truncatingIfNeeded: chains), ordering: .relaxed)
    self.bytes.add(UInt64(truncatingIfNeeded: bytes), ordering: .relaxed)
  }

  /// Counts a request that was answered with an error.
  public func countError() { errors.add(1, ordering: .relaxed) }

  /// Counts a frame that was thrown away.
  public func countDropped() { dropped.add(1, ordering: .relaxed) }
}
