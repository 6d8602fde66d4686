// SPDX-License-Identifier: Apache-2.0
//
// StatisticsReport: what `lgdev stats --json` prints. docs/statistics.md describes the keys; they stay, and
// more may come.

import Backends
import VirtioRing

struct StatisticsReport: Encodable {
  /// Of these keys.
  let format = 1
  let daemons: [Daemon]
  /// Processes whose counters cannot be read.
  let unreadable: [Daemons.Trouble]

  init(_ daemons: Daemons) {
    self.daemons = daemons.readings.map(Daemon.init)
    unreadable = daemons.troubles
  }

  struct Daemon: Encodable {
    let process: Int32
    let program: String
    let started: UInt64
    let uptimeNs: UInt64
    let queuesNotShown: UInt64
    let queues: [Queue]

    init(_ reading: DaemonReading) {
      process = reading.process
      program = reading.statistics.program
      started = reading.statistics.start / 1_000_000_000
      uptimeNs = reading.statistics.age
      queuesNotShown = reading.statistics.omitted
      queues = reading.statistics.queues.map(Queue.init)
    }
  }

  struct Queue: Encodable {
    let guest: String
    let device: String
    let type: String
    let transport: String
    let index: Int
    let name: String
    let size: Int
    let state: String
    let features: [String]
    let starts: UInt64
    let writes: Null<String>
    let chains: UInt64
    let bytesFromGuest: UInt64
    let bytesToGuest: UInt64
    let kicks: UInt64
    let calls: UInt64
    let errors: UInt64
    let dropped: UInt64
    let faults: UInt64
    let inFlight: Int
    let oldestInFlightNs: Null<UInt64>
    let service: Service

    init(_ queue: QueueReading) {
      guest = queue.guest
      device = queue.device
      type = queue.type.word
      transport = queue.transport
      index = queue.index
      name = queue.name
      size = queue.size
      state = queue.state.word
      features = queue.features.words
      starts = queue.starts
      writes = Null(queue.writes?.word)
      chains = queue.chains
      bytesFromGuest = queue.bytesFromGuest
      bytesToGuest = queue.bytesToGuest
      kicks = queue.kicks
      calls = queue.calls
      errors = queue.errors
      dropped = queue.dropped
      faults = queue.faults
      inFlight = queue.inFlight
      oldestInFlightNs = Null(queue.oldestAge)
      service = Service(queue.serviceTimes)
    }
  }

  struct Service: Encodable {
    let count: UInt64
    let p50Ns: Null<UInt64>
    let p90Ns: Null<UInt64>
    let p99Ns: Null<UInt64>
    let maxNs: Null<UInt64>

    init(_ times: ServiceTimes) {
      count = times.total
      p50Ns = Null(times.percentile(0.5))
      p90Ns = Null(times.percentile(0.9))
      p99Ns = Null(times.percentile(0.99))
      maxNs = Null(times.percentile(1))
    }
  }

  /// A value whose key is there even where it is not.
  struct Null<Value: Encodable>: Encodable {
    let value: Value?

    init(_ value: Value?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      if let value { try container.encode(value) } else { try container.encodeNil() }
    }
  }
}

extension DeviceID {
  /// The type in the words of the command line.
  var word: String {
    switch self {
    case .block: DeviceType.block.rawValue
    case .net: DeviceType.net.rawValue
    case .console: DeviceType.console.rawValue
    case .rng: DeviceType.rng.rawValue
    default: "\(rawValue)"
    }
  }
}

extension QueueState {
  var word: String {
    switch self {
    case .stopped: "stopped"
    case .running: "running"
    case .failed: "failed"
    }
  }
}

extension WriteDurability {
  var word: String {
    switch self {
    case .flushed: "flushed"
    case .synced: "synced"
    case .never: "unsafe"
    }
  }
}

extension Features {
  /// Those that change how a ring works, in the specification's words.
  var words: [String] {
    let known: [(Features, String)] = [
      (.version1, "version_1"), (.packedRing, "ring_packed"), (.eventIndex, "event_idx"),
      (.indirectDescriptors, "indirect_desc"), (.inOrder, "in_order"),
      (.notifyOnEmpty, "notify_on_empty"), (.notificationData, "notification_data"),
      (.ringReset, "ring_reset"),
    ]
    return known.filter { contains($0.0) }.map(\.1)
  }
}
