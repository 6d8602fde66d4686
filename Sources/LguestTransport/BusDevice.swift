// SPDX-License-Identifier: Apache-2.0
//
// BusDevice: a device on the guest's bus, and the workers of its queues while it runs.

import Backends
import Linux
import VirtioRing

/// One virtqueue of a device.
final class BusQueue {
  let slot: QueueSlot
  /// The guest's kicks, while the queue runs. One for the life of the queue.
  private let kick: EventFD
  private var running: RunningQueue?

  init(_ slot: QueueSlot) throws(Errno) {
    self.slot = slot
    kick = try EventFD(nonBlocking: false)
  }

  var isRunning: Bool { running != nil }

  /// Starts the worker. It looks at the ring before it sleeps, so a kick from before is not lost.
  func start(
    index: Int, of device: any Device, features: Features, memory: GuestMemory, gate: GuestGate,
    onFault: @escaping @Sendable (RingError) -> Void
  ) throws {
    let configuration = QueueConfiguration(
      layout: slot.layout, size: slot.size, features: features, position: .start)
    let queue = try Virtqueue(configuration, memory: memory)
    let wiring = QueueWiring(
      sleepingIn: try kick.descriptor.duplicate(), call: try gate.interrupt(slot.interrupt),
      onFault: onFault)
    try gate.attach(kick.descriptor, to: slot.address)
    do {
      running = try device.start(queue, index: index, wiring: wiring)
    } catch {
      gate.detach(from: slot.address)
      throw error
    }
  }

  /// A kick that came out of read(2) though the eventfd is attached.
  func wake() { kick.signal() }

  func requestStop() { running?.requestStop() }

  /// Stops the worker: nothing is in flight afterwards.
  func stop(_ gate: GuestGate) {
    guard let running = running.take() else { return }
    _ = running.stop()
    gate.detach(from: slot.address)
    // Signalled first, the drain does not wait where there was no kick.
    kick.signal()
    kick.drain()
  }
}

/// A device, its place in the device page, its workers.
final class BusDevice {
  let device: any Device
  let slot: DeviceSlot
  let queues: [BusQueue]

  init(_ device: any Device, at slot: DeviceSlot) throws(Errno) {
    self.device = device
    self.slot = slot
    var queues: [BusQueue] = []
    for queue in slot.queues { queues.append(try BusQueue(queue)) }
    self.queues = queues
  }

  var isRunning: Bool { queues.contains(where: \.isRunning) }

  /// Starts every queue, with the features that the driver has accepted.
  ///
  /// - Throws: what the host refused; no queue runs then.
  func start(
    memory: RunMemory, gate: GuestGate, onFault: @escaping @Sendable (Int, RingError) -> Void
  ) throws {
    let features = accepted(in: memory)
    device.driverAccepted(features)
    do {
      for (index, queue) in queues.enumerated() {
        try queue.start(
          index: index, of: device, features: features, memory: memory.guest, gate: gate
        ) { onFault(index, $0) }
      }
    } catch {
      stop(gate)
      throw error
    }
  }

  /// What the driver has accepted of what was offered. More it cannot have.
  private func accepted(in memory: RunMemory) -> Features {
    let bytes = memory.read(at: slot.acceptedAddress, count: slot.featureByteCount) ?? []
    var word: UInt64 = 0
    for (index, byte) in bytes.enumerated() { word |= UInt64(byte) << UInt64(8 * index) }
    return Features(rawValue: word).intersection(slot.features)
  }

  /// Lets all workers begin to stop.
  func requestStop() { for queue in queues { queue.requestStop() } }

  /// Stops all workers: nothing is in flight afterwards.
  func stop(_ gate: GuestGate) {
    requestStop()
    for queue in queues { queue.stop(gate) }
  }

  /// Makes everything as at the guest's start, so that a driver can begin anew.
  func reset(memory: RunMemory, gate: GuestGate) {
    stop(gate)
    memory.zero(at: slot.acceptedAddress, count: UInt64(slot.featureByteCount))
    clearRings(memory)
    device.reset()
  }

  /// Makes the rings as at the guest's start. - Precondition: the device is not running.
  func clearRings(_ memory: RunMemory) {
    for queue in slot.queues { memory.zero(at: queue.address, count: queue.byteCount) }
  }
}
