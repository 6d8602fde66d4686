// SPDX-License-Identifier: Apache-2.0

import Backends
import Synchronization
import VirtioRing

@testable import LguestTransport

/// A device that copies what it reads to what it writes, and remembers what its transport told it.
final class EchoDevice: Device {
  let id: DeviceID
  let name: String
  let offeredFeatures: Features
  let queueSizes: [UInt16]
  private let space: [UInt8]
  let configurationChange = ChangeSignal()
  let statistics: [QueueStatistics]

  private struct Record: Sendable {
    var accepted: [Features] = []
    var resets = 0
    var starts = 0
    var refusal: DeviceError?
  }
  private let record = Mutex(Record())

  var accepted: [Features] { record.withLock { $0.accepted } }
  var resets: Int { record.withLock { $0.resets } }
  var starts: Int { record.withLock { $0.starts } }

  convenience init(_ name: String = "echo0", queues: Int = 2) {
    self.init(
      DeviceDescription(
        name: name, type: 42, queues: Array(repeating: 1024, count: queues),
        features: [.indirectDescriptors, .eventIndex, .notifyOnEmpty, .version1],
        configuration: [1, 2, 3, 4]))
  }

  /// One that looks like another device.
  init(_ description: DeviceDescription) {
    id = DeviceID(rawValue: UInt32(description.type))
    name = description.name
    offeredFeatures = description.features
    queueSizes = description.queues
    space = description.configuration
    statistics = queueSizes.map { _ in QueueStatistics() }
  }

  /// Lets each start fail from now on; nil: succeed again.
  func refuse(_ error: DeviceError?) { record.withLock { $0.refusal = error } }

  func configuration() -> [UInt8] { space }

  func driverAccepted(_ features: Features) { record.withLock { $0.accepted.append(features) } }

  func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    if let refusal = record.withLock({ $0.refusal }) { throw refusal }
    record.withLock { $0.starts += 1 }
    do {
      return try QueueWorker.start(
        name: "echo\(index)", queue: queue, body: EchoBody(), wiring: wiring,
        statistics: statistics[index])
    } catch {
      throw DeviceError("start queue \(index)", error)
    }
  }

  func reset() { record.withLock { $0.resets += 1 } }
}

private struct EchoBody: QueueBody, ~Copyable {
  private var chain = Chain(segmentCapacity: 64)

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      while !port.isInterrupted, try queue.pop(into: &chain) {
        port.meter.take()
        let count = min(chain.readableBytes, chain.writableBytes)
        for offset in 0..<count {
          if let byte = chain.load(UInt8.self, at: offset) { chain.store(byte, at: offset) }
        }
        port.meter.served(bytesToGuest: count)
        port.meter.settle()
        queue.push(chain, written: UInt32(count))
      }
      try port.sleep(&queue)
    }
  }
}
