// SPDX-License-Identifier: Apache-2.0
//
// QueueBed: one queue of a device, served by its worker, with an honest driver on the other end. The
// test's thread is the driver and the control thread in one.
//
// Waiting, the driver lives on calls alone: it looks at the ring when it was called, and once more as it allows
// calls again, as Linux does. A call that is missing is a chain that never arrives.

import Backends
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

enum QueueFormat: String, CaseIterable, CustomStringConvertible, Sendable {
  case split
  case legacy
  case packed

  var description: String { rawValue }

  /// The features that belong to the format itself.
  var features: Features {
    switch self {
    case .split: .version1
    case .legacy: []
    case .packed: [.version1, .packedRing]
    }
  }
}

/// A class, so that `#expect` can take calls of it: drivers and queues cannot be copied.
final class QueueBed {
  let device: any Device
  let index: Int
  let memory: TestMemory
  /// Where the ring is.
  let plan: RingPlan
  /// Guest addresses for buffers, which nothing else uses.
  var space: GuestSpace
  private var driver: Driver
  private(set) var kick: EventFD
  private var call: EventFD
  /// Used chains that were found at the last call.
  private var arrived: [UsedChain] = []
  /// Whether a call is due for whatever is used next: nothing was, as calls were allowed.
  private var isArmed = true
  private let sleepsInKick: Bool
  private var queue: Virtqueue?
  private var running: RunningQueue?

  /// Starts a queue of `device`.
  ///
  /// - Parameters:
  ///   - features: besides those of the format.
  ///   - byteCount: of guest memory for buffers.
  ///   - sleepsInKick: the worker waits in read(2) of its kicks.
  ///   - started: false to offer something before `start()`.
  init(
    _ device: any Device, index: Int = 0, _ format: QueueFormat = .split, size: UInt16 = 16,
    features: Features = [.indirectDescriptors, .eventIndex], byteCount: UInt64 = 0x40_0000,
    sleepsInKick: Bool = false, started: Bool = true
  ) throws {
    self.device = device
    self.index = index
    let ringBytes = UInt64(size) * 16 * 20 + 0x4000
    memory = TestMemory(byteCount: ringBytes + byteCount)
    space = GuestSpace(0..<ringBytes + byteCount)
    plan =
      switch format {
      case .split: .split(size: size, in: &space, indirectCapacity: 16)
      case .legacy: .legacy(size: size, in: &space, indirectCapacity: 16)
      case .packed: .packed(size: size, in: &space, indirectCapacity: 16)
      }
    driver = Driver(plan, memory: memory, features: features.union(format.features))
    queue = try Virtqueue(driver.configuration, memory: memory.guestMemory)
    kick = try EventFD(nonBlocking: !sleepsInKick)
    self.sleepsInKick = sleepsInKick
    call = try EventFD()
    if started { try start() }
  }

  deinit { stop() }

  // MARK: Control

  /// Starts the queue's worker.
  func start() throws {
    guard let queue = queue.take() else { preconditionFailure("the queue is running") }
    let kick = try kick.descriptor.duplicate()
    let call = CallTarget(signalling: try call.descriptor.duplicate())
    let wiring =
      sleepsInKick
      ? QueueWiring(sleepingIn: kick, call: call) : QueueWiring(kick: kick, call: call)
    running = try device.start(queue, index: index, wiring: wiring)
  }

  /// Takes the queue back from its worker.
  func stop() {
    guard let running = running.take() else { return }
    queue = running.stop()
  }

  /// Lets the worker begin to stop; `stop()` must follow.
  func requestStop() { running?.requestStop() }

  /// The driver listens at another eventfd from now on.
  func changeCall() throws {
    let new = try EventFD()
    running?.replaceCall(CallTarget(signalling: try new.descriptor.duplicate()))
    call = new
  }

  /// The driver kicks another eventfd from now on.
  func changeKick() throws {
    let new = try EventFD()
    running?.replaceKick(try new.descriptor.duplicate())
    kick = new
  }

  /// The eventfd at which the driver listens now.
  func callDescriptor() throws -> FileDescriptor { try call.descriptor.duplicate() }

  /// Whether the driver was called since it looked last, now or soon.
  func isCalled(within time: Duration = soon) throws -> Bool {
    try !Poll.wait(for: .readable, on: call.descriptor, timeout: time).isEmpty
  }

  /// How many chains the device has taken and not given back. - Precondition: stopped.
  var inFlightCount: Int {
    switch queue {
    case .some(let queue): queue.inFlightCount
    case .none: preconditionFailure("the queue is running")
    }
  }

  // MARK: Driver

  /// Offers a chain and kicks if the device wants that.
  func offer(
    _ buffers: [DriverBuffer], shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    guard driver.offer(buffers, shape: shape, token: token) else { return false }
    if driver.needsKick() { kick.signal() }
    return true
  }

  /// Offers bytes for the device to read, in one buffer.
  func offer(_ bytes: [UInt8], token: UInt64 = 0) -> Bool {
    let address = space.take(UInt64(bytes.count))
    memory.write(bytes, at: address)
    return offer([.readable(address, UInt32(bytes.count))], token: token)
  }

  /// Takes the next used chain without waiting for a call, nil where there is none.
  func collect() throws -> UsedChain? {
    if !arrived.isEmpty { return arrived.removeFirst() }
    guard let used = try driver.collect() else { return nil }
    isArmed = false
    return used
  }

  /// Waits for a call and takes the next used chain; nil where none comes in time.
  func awaitUsed(within time: Duration = soon) throws -> UsedChain? {
    let end = ContinuousClock.now + time
    while arrived.isEmpty {
      if isArmed {
        guard try isCalled(within: max(.zero, end - ContinuousClock.now)) else { return nil }
        call.drain()
      }
      while let used = try driver.collect() { arrived.append(used) }
      isArmed = !driver.allowCalls()
    }
    return arrived.removeFirst()
  }
}
