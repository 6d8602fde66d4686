// SPDX-License-Identifier: Apache-2.0
//
// Device: what a transport sees of a device, and nothing of what is behind it.
//
// A device is a control-plane object: it says what it is and what it offers, answers for its configuration
// space, and starts a thread for each queue that a transport hands to it. The requests themselves
// are served by a QueueBody (see QueueBody.swift), on that thread, with no call through this protocol.
//
// The life of a device, as a transport drives it:
//
//     readConfiguration, offeredFeatures          any time
//     driverAccepted(features)                    once negotiation ends
//     start(queue 0 …) -> RunningQueue            any queue, any order, again after a stop
//     running.stop() -> Virtqueue                 the queue comes back, nothing in flight
//     driverReturned()                            all queues stopped: the same driver goes on
//     reset()                                     all queues stopped: forget the driver

public import Linux
public import VirtioRing

/// A virtio device.
///
/// Calls come from the transport's control thread, one at a time.
public protocol Device: AnyObject, Sendable {
  /// The device type.
  var id: DeviceID { get }

  /// A short name for log lines, thread names and sockets, such as `block0`.
  var name: String { get }

  /// Every feature that the device can serve, ring features included.
  ///
  /// A transport offers those of them that it keeps its part of: NOTIFICATION_DATA says what a kick looks
  /// like, RING_RESET that a queue can be stopped alone.
  var offeredFeatures: Features { get }

  /// The largest size of each queue; as many as the device has.
  var queueSizes: [UInt16] { get }

  /// Whether each queue's chains are given back in the order in which the driver made them available. Then a queue
  /// whose device was killed goes on at its used index: what is behind it was given back, nothing else was.
  var givesBackInOrder: Bool { get }

  /// The counters of each queue, in the order of `queueSizes`. They count over the device's life.
  var statistics: [QueueStatistics] { get }

  /// The device's configuration space, little-endian, as it is now (virtio 1.3, 2.5).
  ///
  /// It is short and made on request. A transport pads it with zeros when asked for more.
  func configuration() -> [UInt8]

  /// The driver writes to the configuration space.
  ///
  /// - Parameters:
  ///   - offset: in bytes from the start of the space.
  ///   - bytes: private memory of any length; the range may lie outside the space.
  /// - Returns: false where the driver may not write that.
  func writeConfiguration(at offset: Int, _ bytes: [UInt8]) -> Bool

  /// The driver has settled on a subset of `offeredFeatures`.
  func driverAccepted(_ features: Features)

  /// Starts to serve a queue on a thread of its own.
  ///
  /// - Parameters:
  ///   - queue: moved in; it comes back from `RunningQueue.stop()`.
  ///   - index: which of the device's queues it is, in `0..<queueSizes.count`.
  ///   - wiring: how the driver kicks and is called.
  /// - Throws: what the host refused, and `.busy` for a queue that runs already. The queue is gone then; the
  ///   transport can make it anew.
  func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue

  /// Forgets the driver: features, a state of failure, what was left of its last requests. All queues
  /// are stopped.
  func reset()

  /// The driver was there before, perhaps while another process served it: its queues go on where they
  /// stood. Called with all queues stopped, after `driverAccepted` and before the first `start`.
  ///
  /// A device that cannot know what that driver chose takes what is safe whatever it was.
  func driverReturned()

  /// Where the transport learns that the configuration space has changed.
  var configurationChange: ChangeSignal { get }
}

extension Device {
  /// Nobody can know that of a device that does not say so.
  public var givesBackInOrder: Bool { false }

  /// A device without writable fields refuses.
  public func writeConfiguration(at offset: Int, _ bytes: [UInt8]) -> Bool { false }

  /// A device whose driver chooses nothing has nothing to know.
  public func driverReturned() {}
}

/// What the host refused when a device was made or started: what, which, why.
public struct DeviceError: Error, Sendable, CustomStringConvertible {
  /// What was tried, with the name of the thing, as the user knows it: `open disk.img`.
  public let action: String
  /// Why it failed.
  public let reason: String
  /// The error that the system gave, where it was the system that refused.
  public let errno: Errno?

  /// Says what was tried and why it failed.
  public init(_ action: String, _ reason: String) {
    self.init(action, reason, nil)
  }

  private init(_ action: String, _ reason: String, _ errno: Errno?) {
    self.action = action
    self.reason = reason
    self.errno = errno
  }

  /// Says what was tried and which error the system gave.
  public init(_ action: String, _ errno: Errno) {
    let advice = errno == .tooManyOpenFiles ? "; raise the limit of open files (ulimit -n)" : ""
    self.init(action, errno.description + advice, errno)
  }

  /// One line.
  public var description: String { "cannot \(action): \(reason)" }
}
