// SPDX-License-Identifier: Apache-2.0

import Backends

/// What a queue has done between two readings.
struct QueueChange: Equatable {
  /// For each second; nil where there is no earlier reading of the same queue.
  var chains: Double?
  var bytesFromGuest: Double?
  var bytesToGuest: Double?
  var kicks: Double?
  var calls: Double?
  /// Of the requests that ended in between, or of all where there is no earlier reading.
  var serviceTimes: ServiceTimes
  /// Whether a driver has started the queue again meanwhile.
  var isRestarted = false

  /// - Parameters:
  ///   - earlier: of the same place; nil where there was none.
  ///   - nanoseconds: what has passed in between.
  init(from earlier: QueueReading?, to now: QueueReading, nanoseconds: UInt64) {
    serviceTimes = now.serviceTimes
    // Another queue in the same place has another serial. Counters that have gone back are no queue's that we know.
    guard let earlier, earlier.serial == now.serial, nanoseconds > 0,
      now.chains >= earlier.chains, now.kicks >= earlier.kicks, now.calls >= earlier.calls,
      now.bytesFromGuest >= earlier.bytesFromGuest, now.bytesToGuest >= earlier.bytesToGuest
    else { return }
    func rate(_ key: KeyPath<QueueReading, UInt64>) -> Double {
      Double(now[keyPath: key] - earlier[keyPath: key]) * 1e9 / Double(nanoseconds)
    }
    chains = rate(\.chains)
    bytesFromGuest = rate(\.bytesFromGuest)
    bytesToGuest = rate(\.bytesToGuest)
    kicks = rate(\.kicks)
    calls = rate(\.calls)
    serviceTimes = now.serviceTimes.since(earlier.serviceTimes)
    isRestarted = now.starts != earlier.starts
  }
}
