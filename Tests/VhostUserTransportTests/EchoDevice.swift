// SPDX-License-Identifier: Apache-2.0

import Backends
import HostTesting
import Linux
import Synchronization
import VirtioRing

/// A device that copies what it reads to what it writes, and remembers what its transport told it.
final class EchoDevice: Device {
  let id: DeviceID
  let name = "echo0"
  let offeredFeatures: Features
  let queueSizes: [UInt16]
  let givesBackInOrder: Bool
  let configurationChange = ChangeSignal()
  let statistics: [QueueStatistics]

  private struct Record: Sendable {
    var configuration: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    var accepted: [Features] = []
    var resets = 0
    var returns = 0
    var starts = 0
  }
  private let record = Mutex(Record())

  /// What the driver accepted, each time that the device was told since its reset.
  var accepted: [Features] { record.withLock { $0.accepted } }
  /// How often the device was reset.
  var resets: Int { record.withLock { $0.resets } }
  /// How often the device was told that its driver has come back.
  var returns: Int { record.withLock { $0.returns } }
  /// How often one of its queues was started.
  var starts: Int { record.withLock { $0.starts } }

  /// A request that is begun while this is set does not finish.
  let hang = Hang()

  init(
    queues: Int = 2, id: DeviceID = DeviceID(rawValue: 42), features: Features = .allRing,
    inOrder: Bool = false
  ) {
    self.id = id
    givesBackInOrder = inOrder
    offeredFeatures = features
    queueSizes = Array(repeating: 256, count: queues)
    statistics = (0..<queues).map { _ in QueueStatistics() }
  }

  func configuration() -> [UInt8] { record.withLock { $0.configuration } }

  func writeConfiguration(at offset: Int, _ bytes: [UInt8]) -> Bool {
    record.withLock { record in
      guard offset <= record.configuration.count,
        bytes.count <= record.configuration.count - offset
      else { return false }
      record.configuration.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      return true
    }
  }

  func driverAccepted(_ features: Features) { record.withLock { $0.accepted.append(features) } }

  func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    record.withLock { $0.starts += 1 }
    do {
      return try QueueWorker.start(
        name: "echo\(index)", queue: queue, body: EchoBody(hang: hang), wiring: wiring,
        statistics: statistics[index])
    } catch {
      throw DeviceError("start queue \(index)", error)
    }
  }

  func reset() {
    record.withLock { record in
      record.resets += 1
      record.accepted = []
    }
  }

  func driverReturned() { record.withLock { $0.returns += 1 } }
}

private struct EchoBody: QueueBody, ~Copyable {
  private let hang: Hang
  private var chain = Chain(segmentCapacity: 64)

  init(hang: Hang) { self.hang = hang }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      while !port.isInterrupted, try queue.pop(into: &chain) {
        port.meter.take()
        hang.wait()
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
