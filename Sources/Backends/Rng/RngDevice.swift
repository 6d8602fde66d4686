// SPDX-License-Identifier: Apache-2.0

import Linux
public import VirtioRing

/// An entropy device (virtio 1.3, 5.4): one queue, whose buffers are filled with random bytes.
public final class RngDevice: Device {
  /// Entropy.
  public let id = DeviceID.rng
  /// The device's short name.
  public let name: String
  /// What rings can do; the device has no features of its own.
  public let offeredFeatures = Features.allRing
  /// requestq.
  public let queueSizes: [UInt16] = RngDevice.queueSizes
  package static let queueSizes: [UInt16] = [256]
  /// Nothing ever changes.
  public let configurationChange = ChangeSignal()
  /// Each queue is served in order.
  public let givesBackInOrder = true
  /// The counters of each queue.
  public let statistics = [QueueStatistics("requests")]

  private let options: RngOptions
  private let source: EntropySource
  private let trouble: TroubleReport

  /// Makes an entropy device and opens its source.
  ///
  /// - Throws: the file that cannot be opened or read, or the option that makes no sense.
  public init(name: String, options: RngOptions = RngOptions()) throws(DeviceError) {
    guard options.requestLimit > 0 else {
      throw DeviceError("make \(name)", "the limit of a request must be at least 1 byte")
    }
    ThreadStarter.prepare()
    self.name = name
    self.options = options
    source = try EntropySource(options.source)
    trouble = TroubleReport(options.onTrouble)
  }

  /// An entropy device has no configuration space.
  public func configuration() -> [UInt8] { [] }

  /// Nothing depends on the driver's choice.
  public func driverAccepted(_ features: Features) {}

  /// Nothing is remembered of a driver.
  public func reset() {}

  /// Starts to fill the buffers of the request queue.
  public func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    precondition(index == 0, "an entropy device has one queue")
    do throws(Errno) {
      let body = RngQueue(
        name: name, source: try source.duplicate(), limit: options.requestLimit, trouble: trouble)
      return try QueueWorker.start(
        name: name, queue: queue, body: body, wiring: wiring, statistics: statistics[0])
    } catch {
      throw DeviceError("start \(name)", error)
    }
  }
}
