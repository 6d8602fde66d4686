// SPDX-License-Identifier: Apache-2.0
//
// What requests do to rings, and when a ring starts to run.
//
// Descriptors of the front-end are made non-blocking when they arrive. The flag belongs to the open
// file, so the front-end's copy has it too. For eventfds that changes nothing: they are polled before
// they are read, on both sides, and a write waits only at 2^64 - 2. For sockets and pipes it is what
// keeps a front-end that never reads from holding up a queue.

import Backends
import Linux
import VirtioRing

// MARK: Requests

extension Session {
  func setVringSize(_ state: VringState) throws(SessionError) {
    let ring = try ring(UInt64(state.index))
    let limit = device.queueSizes[ring.index]
    guard let size = UInt16(exactly: state.number), size > 0, size <= limit else {
      throw .badRingSize(state.number, limit: limit)
    }
    guard !ring.isRunning || ring.size == size else { throw .ringIsRunning(.setVringSize) }
    ring.size = size
  }

  func setVringAddress(_ payload: [UInt8]) throws(SessionError) {
    guard let address = VringAddress(payload) else {
      throw .badPayload(.setVringAddress, byteCount: payload.count)
    }
    let ring = try ring(UInt64(address.index))
    if let old = ring.address, old.isSamePlace(as: address) { return }
    // A ring that moves while it runs stops here and goes on there.
    ring.halt()
    ring.address = address
  }

  func setVringBase(_ state: VringState) throws(SessionError) {
    let ring = try ring(UInt64(state.index))
    guard !ring.isRunning else { throw .ringIsRunning(.setVringBase) }
    ring.setBase(state.number)
    ring.isBroken = false
  }

  func getVringBase(_ state: VringState) throws(SessionError) -> Answer {
    let ring = try ring(UInt64(state.index))
    ring.stop()
    return .payload(
      VringState(index: state.index, number: ring.tellBase(isPacked: driverWantsPacked)).bytes)
  }

  func setVringEnable(_ state: VringState) throws(SessionError) {
    let ring = try ring(UInt64(state.index))
    guard state.number <= 1 else { throw .badNumber(.setVringEnable, UInt64(state.number)) }
    ring.isEnabled = state.number == 1
    if !canRun(ring) { ring.halt() }
  }

  /// The ring of SET_VRING_KICK, _CALL or _ERR, which comes with a descriptor or says that it does not.
  func vring(
    _ message: Message, _ request: FrontEndRequest, _ descriptors: borrowing FileDescriptorList
  ) throws(SessionError) -> Vring {
    let number = try number(message, request)
    guard let index = VringDescriptorIndex(rawValue: number) else {
      throw .badNumber(request, number)
    }
    let ring = try ring(UInt64(index.index))
    guard descriptors.count == (index.hasDescriptor ? 1 : 0) else {
      throw .badDescriptorCount(request, count: descriptors.count)
    }
    return ring
  }

  /// The descriptor that came with such a request, if one did.
  func wakeup(
    _ request: FrontEndRequest, _ descriptors: inout FileDescriptorList
  ) throws(SessionError) -> HeldDescriptor? {
    guard let descriptor = descriptors.take(at: 0) else { return nil }
    let action = "use a descriptor of the front-end"
    switch try Self.host(action, { () throws(Errno) in try descriptor.status().kind }) {
    case .anonymous, .socket, .fifo: break
    // Anything else would be always readable, or could not be waited for.
    default: throw .badDescriptorKind(request)
    }
    try Self.host(action) { () throws(Errno) in try descriptor.setNonBlocking(true) }
    return HeldDescriptor(descriptor)
  }

  func setKick(_ ring: Vring, _ descriptor: HeldDescriptor?) throws(SessionError) {
    let kick = descriptor.map { .descriptor($0) } ?? Doorbell.none
    // First what can fail: a refusal changes nothing.
    if ring.isRunning { ring.replaceKick(try kick.kickForWorker()) }
    ring.kick = kick
    ring.isStarted = true
    mend(ring)
  }

  /// A broken ring may try again.
  private func mend(_ ring: Vring) {
    if ring.isBroken { ring.halt() }
    ring.isBroken = false
  }

  func setCall(_ ring: Vring, _ descriptor: HeldDescriptor?) throws(SessionError) {
    let call = descriptor.map { .descriptor($0) } ?? Doorbell.none
    if ring.isRunning { ring.replaceCall(try callForWorker(ring, call, channel)) }
    ring.call = call
  }

  func setChannel(_ descriptors: inout FileDescriptorList) throws(SessionError) {
    guard let descriptor = descriptors.take(at: 0) else { return }
    let new = try BackendChannel(descriptor)
    // Rings whose calls are messages go on over the new channel.
    var calls: [(ring: Vring, call: PreparedCall)] = []
    for ring in rings where ring.isRunning {
      guard case .unset = ring.call else { continue }
      calls.append((ring, PreparedCall(try callForWorker(ring, .unset, new))))
    }
    channel = new
    for (ring, prepared) in calls { ring.replaceCall(prepared.call.take()) }
  }

  func vringKick(_ state: VringState) throws(SessionError) {
    let ring = try ring(UInt64(state.index))
    guard protocolFeatures.contains(.inBandNotifications) else {
      throw .unknownRequest(FrontEndRequest.vringKick.rawValue)
    }
    guard state.number == 0 else { throw .badNumber(.vringKick, UInt64(state.number)) }
    switch ring.kick {
    case .unset:
      let bell = try OwnBell()
      bell.ring()
      ring.kick = .inBand(bell)
      ring.isStarted = true
      mend(ring)
    case .inBand(let bell): bell.ring()
    // The front-end has set a descriptor, or polling: that is preferred.
    case .descriptor, .none: break
    }
  }
}

extension VringAddress {
  fileprivate func isSamePlace(as other: VringAddress) -> Bool {
    descriptors == other.descriptors && used == other.used && available == other.available
  }
}

// MARK: Running

extension Session {
  /// Whether the front-end wants a ring to run.
  func canRun(_ ring: Vring) -> Bool {
    ring.isStarted && !ring.isBroken && (ring.isEnabled || !ringsStartDisabled)
  }

  /// Starts every ring that can run, after each request.
  func reconcile() {
    for ring in rings where !ring.isRunning && canRun(ring) { start(ring) }
  }

  private func start(_ ring: Vring) {
    guard let size = ring.size, let address = ring.address else { return }
    guard let guest = memory.guest else { return ringLacksMemory(ring) }
    if !rings.contains(where: \.isRunning) { meetDriver() }
    findPosition(of: ring)
    do {
      let configuration = try configuration(of: ring, size: size, address: address)
      try start(ring, try Virtqueue(configuration, memory: guest))
    } catch let error as RingError {
      ringFaulted(ring, .ring(error))
    } catch let error as DeviceError {
      ringFaulted(ring, .host(error))
    } catch {
      ringFaulted(ring, .host(DeviceError("start queue \(ring.index)", "\(error)")))
    }
  }

  /// Finds out where a driver stands that goes on though its front-end says 0, and starts there.
  ///
  /// A network front-end may keep its rings while back-ends come and go, and always says 0 (DPDK's
  /// virtio-user as a server). Where chains go back in the order in which they were taken, none is in flight
  /// at the used index. A new driver has zeroed its ring; one that has not shows it where its available index
  /// does not follow that used index.
  ///
  /// It is asked once in a session: from a ring's first run on the front-end can know where it stands, and
  /// 0 is a new driver's. A packed ring keeps no index in memory, and which of its descriptors were used last
  /// can not be told from those of the round before: such a front-end has to begin it anew, as DPDK does.
  func findPosition(of ring: Vring) {
    guard device.givesBackInOrder || acceptedFeatures.contains(.inOrder),
      ring.run == 0, ring.base == nil, !driverWantsPacked, let size = ring.size,
      let address = ring.address, let guest = memory.guest,
      let layout = memory.layout(address, isPacked: false)
    else { return }
    var configuration = QueueConfiguration(
      layout: layout, size: size, features: [], position: RingPosition(nextAvailable: 0))
    // A ring that cannot be there is reported when it starts.
    guard let used = try? Virtqueue(configuration, memory: guest).position.nextUsed, used != 0
    else {
      return
    }
    configuration.position = RingPosition(nextAvailable: used, nextUsed: used)
    guard var queue = try? Virtqueue(configuration, memory: guest), (try? queue.hasMore()) != nil
    else { return }
    ring.setBase(UInt32(used))
  }

  private func configuration(
    of ring: Vring, size: UInt16, address: VringAddress
  ) throws(RingError) -> QueueConfiguration {
    let isPacked = features.contains(.packedRing)
    guard let layout = memory.layout(address, isPacked: isPacked) else {
      throw .ringOutsideMemory
    }
    let position: RingPosition
    switch ring.base {
    case .none: position = .start
    case .some(let base):
      guard let decoded = Vring.decode(base, isPacked: isPacked) else { throw .badPosition }
      position = decoded
    }
    return QueueConfiguration(layout: layout, size: size, features: features, position: position)
  }

  private func start(_ ring: Vring, _ queue: consuming Virtqueue) throws {
    let layout = queue.configuration.layout
    let wiring = QueueWiring(
      kick: try ring.kick.kickForWorker(), call: try callForWorker(ring, ring.call, channel),
      onFault: faultHandler(for: ring))
    let running = try device.start(queue, index: ring.index, wiring: wiring)
    ring.didStart(running, layout: layout)
  }

  /// How a ring's worker calls, if the ring has this call and this channel.
  private func callForWorker(
    _ ring: Vring, _ call: Doorbell, _ channel: BackendChannel?
  ) throws(SessionError) -> CallTarget? {
    switch call {
    case .none, .inBand: return nil
    case .descriptor(let held): return CallTarget(signalling: try held.duplicate())
    case .unset:
      guard protocolFeatures.contains(.inBandNotifications) else { return nil }
      return try channel?.callTarget(ring: ring.index, onFull: unsentCallHandler(for: ring))
    }
  }

  /// Makes a host's refusal one of the session.
  static func host<Value: ~Copyable>(
    _ action: String, _ body: () throws(Errno) -> Value
  ) throws(SessionError) -> Value {
    do {
      return try body()
    } catch {
      throw .host(DeviceError(action, error))
    }
  }
}

extension Doorbell {
  /// A descriptor of the worker's own: ours stays, for the next start.
  fileprivate func kickForWorker() throws(SessionError) -> FileDescriptor? {
    switch self {
    case .unset, .none: nil
    case .descriptor(let held): try held.duplicate()
    case .inBand(let bell): try bell.duplicate()
    }
  }
}

/// A call that waits to be handed over.
private final class PreparedCall {
  var call: CallTarget?

  init(_ call: consuming CallTarget?) { self.call = call }
}
