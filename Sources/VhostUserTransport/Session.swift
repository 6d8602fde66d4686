// SPDX-License-Identifier: Apache-2.0
//
// Session: one front-end and one device, from the first request to the last. The state machine.
//
// It is told of whole messages and answers them; sockets are not its business (see Connection.swift).
// Requests may come in any order that the specification allows, and then some: each one changes what
// is known, and afterwards `reconcile` starts every ring that can run. What a request may not
// change while a ring runs is refused.
//
// A refusal changes nothing. Where the front-end asked for a reply it gets a non-zero one and the
// session goes on; where not, it could never know, so the session ends. Of requests that have a reply of
// their own only GET_CONFIG can be refused, with an empty one. A gate that the
// specification puts before a request ("only if the feature was negotiated") is taken as "only if we
// offer it": what is served without harm is served.
//
// Features that the driver accepts while rings run count from the next time on that no ring runs.

import Backends
import Linux
import VirtioRing

/// The state machine of one connection.
final class Session {
  /// The most memory regions of one SET_MEM_TABLE. The specification draws eight, and has other
  /// requests for more.
  static let memoryTableLimit = 8

  /// DEVICE_NEEDS_RESET of the device status (virtio 1.3, 2.1).
  static let needsReset: UInt8 = 64

  /// Features of the ring alone, which it serves whether the device offers them or not: QEMU's
  /// vhost-user-rng passes them on from its own defaults.
  static let alwaysServed: Features = [
    .indirectDescriptors, .eventIndex, .notifyOnEmpty, .anyLayout, .ringReset,
  ]

  let device: any Device
  private let offeredProtocolFeatures: ProtocolFeatures
  private let inbox: EventInbox<SessionEvent>
  let rings: [Vring]
  /// Tells a new driver from one that comes back; it outlives the session.
  private let trace: DriverTrace

  /// What the driver accepted last, without the protocol's own bit.
  private(set) var acceptedFeatures: Features = []
  /// What rings go by: what the device was told.
  private(set) var features: Features = []
  /// Whether the device knows `features`: not before the driver has accepted any, nor after a reset.
  private var deviceKnowsFeatures = false
  /// Whether VHOST_USER_F_PROTOCOL_FEATURES was accepted: then rings start disabled.
  private(set) var ringsStartDisabled = false
  private(set) var protocolFeatures: ProtocolFeatures = []
  private(set) var status: UInt8 = 0
  var memory = MemoryTable.empty
  var channel: BackendChannel?
  /// What rings that could not run, or have broken, are to be reported with. The owner takes it.
  private(set) var faults: [RingFault] = []

  init(
    device: any Device, offering protocolFeatures: ProtocolFeatures, trace: DriverTrace,
    inbox: EventInbox<SessionEvent>
  ) {
    self.device = device
    offeredProtocolFeatures = protocolFeatures
    self.trace = trace
    self.inbox = inbox
    rings = (0..<device.queueSizes.count).map { Vring(index: $0, trace: trace) }
  }

  /// Lets all workers begin to stop: they finish what they have in flight side by side.
  func requestHalt() {
    for ring in rings { ring.requestHalt() }
  }

  /// Stops everything. The device remembers its driver: it may come back. Idempotent.
  func end() {
    stopAll()
    memory = .empty
    channel = nil
  }

  /// Makes the session as it began, but for features and memory.
  private func stopAll() {
    requestHalt()
    for ring in rings { ring.reset() }
    deviceKnowsFeatures = false
    status = 0
  }

  /// Takes what is to be logged.
  func takeFaults() -> [RingFault] {
    defer { faults = [] }
    return faults
  }
}

// MARK: Messages

/// What a request is answered with.
enum Answer {
  /// Nothing, unless a reply was asked for.
  case acknowledgement
  /// A reply of its own.
  case payload([UInt8])

  static func number(_ number: UInt64) -> Answer {
    var bytes: [UInt8] = []
    bytes.append64(number)
    return .payload(bytes)
  }
}

extension Session {
  /// Does what a message asks.
  ///
  /// - Parameter descriptors: those that came with it. What is not taken is closed.
  /// - Returns: the reply, if there is to be one, and what was refused, if anything.
  /// - Throws: what ends the session.
  func respond(
    to message: Message, _ descriptors: inout FileDescriptorList
  ) throws(SessionError) -> (reply: Message?, refusal: SessionError?) {
    let answer: Answer
    do {
      answer = try handle(message, &descriptors)
    } catch {
      guard error.isRefusal, let refusal = refusal(of: message) else { throw error }
      return (refusal, error)
    }
    reconcile()
    switch answer {
    case .payload: return (reply(to: message, answer), nil)
    case .acknowledgement:
      return (wantsAcknowledgement(message) ? reply(to: message, .number(0)) : nil, nil)
    }
  }

  /// What tells the front-end that a request is refused; nil where nothing can.
  private func refusal(of message: Message) -> Message? {
    if let request = FrontEndRequest(rawValue: message.request), request.hasOwnReply {
      // For these a wish for a reply changes nothing, and one of them can say no.
      return request == .getConfiguration ? reply(to: message, .payload([])) : nil
    }
    return wantsAcknowledgement(message) ? reply(to: message, .number(1)) : nil
  }

  private func wantsAcknowledgement(_ message: Message) -> Bool {
    message.flags & MessageFlags.needReply != 0 && protocolFeatures.contains(.replyAck)
  }

  private func reply(to message: Message, _ answer: Answer) -> Message? {
    guard case .payload(let payload) = answer else { return nil }
    return Message(
      message.request, flags: MessageFlags.version | MessageFlags.reply, payload: payload)
  }

  private func handle(
    _ message: Message, _ descriptors: inout FileDescriptorList
  ) throws(SessionError) -> Answer {
    guard let request = FrontEndRequest(rawValue: message.request) else {
      throw .unknownRequest(message.request)
    }
    try request.check(payload: message.payload, descriptorCount: descriptors.count)
    switch request {
    case .getFeatures: return .number(offeredFeatures.rawValue | protocolFeaturesBit)
    case .setFeatures: try setFeatures(try number(message, request))
    case .getProtocolFeatures: return .number(offeredProtocolFeatures.rawValue)
    case .setProtocolFeatures: try setProtocolFeatures(try number(message, request))
    // Virtqueues, also of a network device: front-ends compare it with the number of rings, or of
    // pairs, that they want, and refuse the device only where it is less.
    case .getQueueCount: return .number(UInt64(rings.count))
    // A session begins with its connection, so there is nothing to do for its owner.
    case .setOwner: break
    case .resetOwner: stopRings()
    // Logging is not offered; what came along is closed.
    case .setLogBase, .setLogDescriptor: break
    case .setMemoryTable: try setMemoryTable(message.payload, &descriptors)
    case .getMemorySlotCount: return .number(UInt64(GuestMemory.maximumRegionCount))
    case .addMemoryRegion: try addMemoryRegion(message.payload, &descriptors)
    case .removeMemoryRegion: try removeMemoryRegion(message.payload)
    case .setVringSize: try setVringSize(try state(message, request))
    case .setVringAddress: try setVringAddress(message.payload)
    case .setVringBase: try setVringBase(try state(message, request))
    case .getVringBase: return try getVringBase(try state(message, request))
    case .setVringEnable: try setVringEnable(try state(message, request))
    case .vringKick: try vringKick(try state(message, request))
    case .setVringKick:
      let ring = try vring(message, request, descriptors)
      try setKick(ring, try wakeup(request, &descriptors))
    case .setVringCall:
      let ring = try vring(message, request, descriptors)
      try setCall(ring, try wakeup(request, &descriptors))
    case .setVringError:
      let ring = try vring(message, request, descriptors)
      ring.errorSignal = try wakeup(request, &descriptors)
    case .setBackendChannel: try setChannel(&descriptors)
    case .getConfiguration: return try getConfiguration(message.payload)
    case .setConfiguration: try setConfiguration(message.payload)
    case .resetDevice: resetDevice()
    case .setStatus: try setStatus(try number(message, request))
    case .getStatus: return .number(UInt64(status))
    }
    return .acknowledgement
  }

  func number(
    _ message: Message, _ request: FrontEndRequest
  ) throws(SessionError) -> UInt64 {
    var reader = PayloadReader(message.payload)
    guard let number = reader.read64() else {
      throw .badPayload(request, byteCount: message.payload.count)
    }
    return number
  }

  private func state(
    _ message: Message, _ request: FrontEndRequest
  ) throws(SessionError) -> VringState {
    guard let state = VringState(message.payload) else {
      throw .badPayload(request, byteCount: message.payload.count)
    }
    return state
  }

  /// The ring of an index as it came: compared in full width, never cut.
  func ring(_ index: UInt64) throws(SessionError) -> Vring {
    guard index < UInt64(rings.count) else { throw .noSuchRing(index) }
    return rings[Int(index)]
  }
}

// MARK: Negotiation, configuration space, status

extension Session {
  /// What the device offers, but for what this transport cannot carry: a kick is an eventfd's, which
  /// says nothing but that it came.
  private var offeredFeatures: Features {
    device.offeredFeatures.subtracting(.notificationData)
  }

  private func setFeatures(_ bits: UInt64) throws(SessionError) {
    let known = offeredFeatures.union(Self.alwaysServed).rawValue | protocolFeaturesBit
    guard bits & ~known == 0 else { throw .featuresNotOffered(bits & ~known) }
    acceptedFeatures = Features(rawValue: bits & ~protocolFeaturesBit)
    ringsStartDisabled = bits & protocolFeaturesBit != 0
    if !rings.contains(where: \.isRunning) { applyFeatures() }
  }

  /// The format of the rings that start next.
  var driverWantsPacked: Bool { acceptedFeatures.contains(.packedRing) }

  /// The first ring is about to run: makes the device ready for its driver, a new one or the one that
  /// it knows. - Precondition: no ring runs.
  func meetDriver() {
    let started = rings.filter(\.isStarted)
    for ring in started { findPosition(of: ring) }
    let isBack = trace.isBack(
      started.map { ($0.index, $0.startsAtBeginning(isPacked: driverWantsPacked)) })
    if !isBack {
      device.reset()
      deviceKnowsFeatures = false
    }
    applyFeatures()
    if isBack { device.driverReturned() }
  }

  /// Tells the device what the driver accepted, if that is new to it. - Precondition: no ring runs.
  private func applyFeatures() {
    guard !deviceKnowsFeatures || features != acceptedFeatures else { return }
    features = acceptedFeatures
    deviceKnowsFeatures = true
    device.driverAccepted(features)
  }

  private func setProtocolFeatures(_ bits: UInt64) throws(SessionError) {
    let chosen = ProtocolFeatures(rawValue: bits)
    guard offeredProtocolFeatures.isSuperset(of: chosen) else {
      throw .protocolFeaturesNotOffered(chosen.subtracting(offeredProtocolFeatures).rawValue)
    }
    guard
      !chosen.contains(.inBandNotifications)
        || chosen.isSuperset(of: [.backendRequests, .replyAck])
    else { throw .inBandAlone }
    protocolFeatures = chosen
  }

  private func getConfiguration(_ payload: [UInt8]) throws(SessionError) -> Answer {
    guard let access = ConfigurationAccess(payload) else {
      throw .badPayload(.getConfiguration, byteCount: payload.count)
    }
    // Exactly the size that was asked for; past the device's own space there are zeros.
    let space = device.configuration()
    let start = min(Int(access.offset), space.count)
    var content = Array(space[start..<min(space.count, start + access.content.count)])
    content += [UInt8](repeating: 0, count: access.content.count - content.count)
    return .payload(
      ConfigurationAccess(offset: access.offset, flags: access.flags, content: content).bytes)
  }

  private func setConfiguration(_ payload: [UInt8]) throws(SessionError) {
    guard let access = ConfigurationAccess(payload) else {
      throw .badPayload(.setConfiguration, byteCount: payload.count)
    }
    guard device.writeConfiguration(at: Int(access.offset), access.content) else {
      throw .configurationNotWritable(offset: access.offset, byteCount: access.content.count)
    }
  }

  private func setStatus(_ number: UInt64) throws(SessionError) {
    guard let new = UInt8(exactly: number) else { throw .badNumber(.setStatus, number) }
    if new == 0 {
      // Not the driver's end yet: QEMU says so when it pauses a guest. Where rings start tells.
      stopAll()
    } else {
      status = new | status & Self.needsReset
    }
  }

  private func resetDevice() {
    stopAll()
    for ring in rings { ring.forgetTold() }
    trace.forget()
    device.reset()
  }

  /// What RESET_OWNER is recommended to do, if anything: no ring runs until it is set up again.
  private func stopRings() {
    requestHalt()
    for ring in rings {
      ring.stop()
      ring.isEnabled = false
    }
  }
}

// MARK: What others tell

extension Session {
  /// The device's configuration space has changed.
  func configurationChanged() {
    guard protocolFeatures.isSuperset(of: [.backendRequests, .configuration]) else { return }
    channel?.send(.configurationChange)
  }

  /// A ring was broken by its driver, or could not start.
  func ringFaulted(_ ring: Vring, _ reason: RingFault.Reason) {
    ring.isBroken = true
    status |= Self.needsReset
    report(ring, reason)
  }

  /// A ring is to run, and there is no memory. It starts as soon as there is.
  func ringLacksMemory(_ ring: Vring) {
    guard !ring.isReportedWithoutMemory else { return }
    ring.isReportedWithoutMemory = true
    report(ring, .noMemory)
  }

  private func report(_ ring: Vring, _ reason: RingFault.Reason) {
    faults.append(RingFault(queue: ring.index, reason: reason))
    if let signal = ring.errorSignal {
      signal.wake()
    } else if protocolFeatures.contains(.inBandNotifications) {
      channel?.send(.vringError, ring: ring.index)
    }
  }

  /// A worker found no room for a call.
  func callUnsent(_ queue: Int) { channel?.send(.vringCall, ring: queue) }

  /// A worker's note. One of a run that is over concerns nobody any more.
  func queueFaulted(_ queue: Int, run: UInt64, _ error: RingError) {
    let ring = rings[queue]
    if ring.isRunning, ring.run == run { ringFaulted(ring, .ring(error)) }
  }

  /// What a worker tells of a call that found no room, left for the session's thread.
  func unsentCallHandler(for ring: Vring) -> @Sendable () -> Void {
    let inbox = inbox
    let queue = ring.index
    return { inbox.post(.unsentCall(queue: queue)) }
  }

  /// What a worker tells of its queue, left for the session's thread.
  func faultHandler(for ring: Vring) -> @Sendable (RingError) -> Void {
    let inbox = inbox
    let queue = ring.index
    let run = ring.beginRun()
    return { error in inbox.post(.fault(queue: queue, run: run, error)) }
  }
}
