// SPDX-License-Identifier: Apache-2.0
//
// ToyTransport: how a monitor shows one of lgdev's devices to its guest.
//
// A real transport is called from where the guest's accesses to registers come out: virtio-mmio, virtio-pci,
// a hypercall. It keeps the order that virtio wants (1.3, 3.1.1), and is little more than that:
//
//     read `features`, accept(…)       the driver negotiates
//     configure(queue:…)               it says where its rings are
//     start()                          DRIVER_OK: each queue gets a thread
//     kick(…), the call's descriptor   notifications, both ways
//     reset()                          the driver begins anew
//
// With KVM the two eventfds of a queue go to the kernel, KVM_IOEVENTFD for the kick and KVM_IRQFD for the
// call, and this process is not asked at all while requests are served.

import Backends
import Linux
import Synchronization
import VirtioRing

/// What a guest did in the wrong order.
enum ToyError: Error {
  case featureNotOffered
  case noSuchQueue
  case badQueueSize
}

final class ToyTransport {
  private let device: any Device
  private let memory: GuestMemory
  private var accepted: Features = []
  private var queues: [ToyQueue] = []
  private let needsReset = Flag()

  /// A device behind registers of its own.
  init(_ device: any Device, memory: GuestMemory) throws(Errno) {
    self.device = device
    self.memory = memory
    for _ in device.queueSizes { queues.append(try ToyQueue()) }
  }

  /// Queues must be stopped before they are let go.
  deinit { stop() }

  // MARK: Registers

  /// What the driver is offered: what the device can do, less what this transport does not keep.
  /// NOTIFICATION_DATA is about its kicks, RING_RESET about its registers.
  var features: Features {
    device.offeredFeatures.subtracting([.notificationData, .ringReset])
  }

  /// FEATURES_OK.
  func accept(_ features: Features) throws(ToyError) {
    guard self.features.contains(features) else { throw .featureNotOffered }
    accepted = features
    device.driverAccepted(features)
  }

  /// A read of the configuration space. What is behind its end reads as zeros.
  func configuration(at offset: Int, count: Int) -> [UInt8] {
    let space = device.configuration()
    return (offset..<offset + count).map { $0 < space.count ? space[$0] : 0 }
  }

  /// Where the driver has put a ring, and how long it has made it. Both are the guest's word; what does not
  /// lie in its memory is refused by `start()`.
  func configure(queue index: Int, _ layout: RingLayout, size: UInt16) throws(ToyError) {
    guard queues.indices.contains(index) else { throw .noSuchQueue }
    guard size <= device.queueSizes[index] else { throw .badQueueSize }
    queues[index].configuration = QueueConfiguration(
      layout: layout, size: size, features: accepted)
  }

  /// DRIVER_OK: every queue that was configured is served, each on a thread of its own.
  func start() throws {
    for (index, queue) in queues.enumerated() {
      guard let configuration = queue.configuration else { continue }
      let needsReset = needsReset
      let bell = EventFD(adopting: try queue.call.descriptor.duplicate())
      let wiring = QueueWiring(
        sleepingIn: try queue.kick.descriptor.duplicate(),
        call: CallTarget(signalling: try queue.call.descriptor.duplicate()),
        onFault: { _ in
          // On the queue's thread. DEVICE_NEEDS_RESET, and a configuration interrupt, in a real one.
          needsReset.raise()
          bell.signal()
        })
      queue.running = try device.start(
        Virtqueue(configuration, memory: memory), index: index, wiring: wiring)
    }
  }

  /// Whether the driver has broken a ring (DEVICE_NEEDS_RESET).
  var isBroken: Bool { needsReset.isRaised }

  /// A write of 0 to the status: requests in flight are finished, everything is forgotten.
  func reset() {
    stop()
    device.reset()
    accepted = []
    for queue in queues { queue.configuration = nil }
    needsReset.lower()
  }

  private func stop() {
    // All are asked before the first is waited for.
    for queue in queues { queue.running?.requestStop() }
    for queue in queues {
      guard let running = queue.running.take() else { continue }
      // The queue comes back: its position would be needed to move the guest elsewhere.
      _ = running.stop()
    }
  }

  // MARK: Notifications

  /// The driver writes to the notification register.
  func kick(queue index: Int) { queues[index].kick.signal() }

  /// Waits for the queue's interrupt.
  func waitForCall(queue index: Int) throws(Errno) {
    _ = try Poll.wait(for: .readable, on: queues[index].call.descriptor)
    queues[index].call.drain()
  }
}

/// A queue's registers and descriptors, and what serves it.
private final class ToyQueue {
  /// Its reads wait: the worker sleeps in them.
  let kick: EventFD
  let call: EventFD
  var configuration: QueueConfiguration?
  var running: RunningQueue?

  init() throws(Errno) {
    kick = try EventFD(nonBlocking: false)
    call = try EventFD()
  }
}

/// A bit that a queue's thread sets.
private final class Flag: Sendable {
  private let bit = Atomic(false)

  var isRaised: Bool { bit.load(ordering: .acquiring) }
  func raise() { bit.store(true, ordering: .releasing) }
  func lower() { bit.store(false, ordering: .releasing) }
}
