// SPDX-License-Identifier: Apache-2.0
//
// Replay: plays what a real front-end has asked of its back-end, event by event, to a server of ours, with a
// driver behind it that goes on as a guest does.
//
// The text is that of the recorder (Tests/Beds/recorder.py), one event a line:
//
//     == pause                           what was done to the front-end; nothing is made of it
//     connect, hangup, lost              a connection begins and ends
//     > SET_VRING_NUM index=0 num=128    a request; with `reply` its answer is waited for
//     < ok                               an answer; ours is checked by what it means
//
// Where a ring begins tells what its driver does. `num=position` (what GET_VRING_BASE has answered last) and
// `num=used` (the used index) are a driver that goes on; any number is a new one, with a ring that it has zeroed.
//
// After each event the driver makes chains available, and collects them where the ring has to run. Each must
// come back once with its own data, GET_VRING_BASE must say how many have, and the device must have seen no
// other.

import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// What a recording has.
enum RecordedEvent {
  case connect
  case hangup
  /// `index` and `num` or `value` as they stand there.
  case request(FrontEndRequest, fields: [String: String], wantsReply: Bool)

  /// Reads a recording.
  static func parse(_ text: String) throws -> [RecordedEvent] {
    try text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ").map(String.init)
      switch words.first {
      case "connect": return .connect
      case "hangup", "lost": return .hangup
      case ">":
        guard words.count > 1, let request = names[words[1]] else {
          throw UnknownEvent(line: String(line))
        }
        var fields: [String: String] = [:]
        for word in words.dropFirst(2) {
          let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
          fields[parts[0]] = parts.count > 1 ? parts[1] : ""
        }
        return .request(request, fields: fields, wantsReply: fields["reply"] != nil)
      default: return nil
      }
    }
  }

  private static let names: [String: FrontEndRequest] = [
    "GET_FEATURES": .getFeatures, "SET_FEATURES": .setFeatures, "SET_OWNER": .setOwner,
    "RESET_OWNER": .resetOwner, "SET_MEM_TABLE": .setMemoryTable, "SET_VRING_NUM": .setVringSize,
    "SET_VRING_ADDR": .setVringAddress, "SET_VRING_BASE": .setVringBase,
    "GET_VRING_BASE": .getVringBase, "SET_VRING_KICK": .setVringKick,
    "SET_VRING_CALL": .setVringCall, "SET_VRING_ERR": .setVringError,
    "GET_PROTOCOL_FEATURES": .getProtocolFeatures, "SET_PROTOCOL_FEATURES": .setProtocolFeatures,
    "GET_QUEUE_NUM": .getQueueCount, "SET_VRING_ENABLE": .setVringEnable,
    "SET_BACKEND_REQ_FD": .setBackendChannel, "GET_CONFIG": .getConfiguration,
    "SET_CONFIG": .setConfiguration, "RESET_DEVICE": .resetDevice,
    "GET_MAX_MEM_SLOTS": .getMemorySlotCount, "ADD_MEM_REG": .addMemoryRegion,
    "REM_MEM_REG": .removeMemoryRegion, "SET_STATUS": .setStatus, "GET_STATUS": .getStatus,
  ]
}

/// A line that nobody can play.
struct UnknownEvent: Error {
  let line: String
}

/// What a back-end did that its driver cannot live with.
enum ReplayFault: Error {
  /// GET_VRING_BASE said something else than how far the ring is.
  case wrongPosition(ring: Int, told: UInt32, expected: UInt32)
  /// A chain came back with other data than its own, or a second time.
  case wrongData(ring: Int)
  /// Chains that nobody has served.
  case notServed(ring: Int)
}

/// The driver of one ring, from one reset to the next.
private final class ReplayDriver {
  static let size: UInt16 = 64
  var ring: FrontEndRing
  /// Chains that came back: what the used index counts.
  private(set) var completed = 0
  private(set) var outstanding: [UInt64: (target: UInt64, value: UInt64)] = [:]

  init(_ ring: consuming FrontEndRing) { self.ring = ring }

  func offer(_ value: UInt64, source: UInt64, in memory: TestMemory) -> Bool {
    memory.write(FrontEnd.bytes(value), at: source)
    memory.write(FrontEnd.bytes(0), at: source + 8)
    guard ring.offer([.readable(source, 8), .writable(source + 8, 8)], token: value) else {
      return false
    }
    outstanding[value] = (source + 8, value)
    return true
  }

  /// Collects what has come back.
  func collect(in memory: TestMemory) throws {
    while let used = try ring.driver.collect() {
      guard let chain = outstanding.removeValue(forKey: used.token), used.written == 8,
        memory.bytes(at: chain.target, count: 8) == FrontEnd.bytes(chain.value)
      else { throw ReplayFault.wrongData(ring: ring.index) }
      completed += 1
    }
  }

  /// Waits until all have come back. Calls are not looked at: their descriptor may not have been said.
  func collectAll(in memory: TestMemory) throws {
    let isDone = try eventually {
      try collect(in: memory)
      return outstanding.isEmpty
    }
    guard isDone else { throw ReplayFault.notServed(ring: ring.index) }
  }

  /// Where the ring stands, while it is stopped.
  func position(isPacked: Bool, in memory: TestMemory) throws -> UInt32 {
    try collect(in: memory)
    guard isPacked else { return UInt32(completed & 0xffff) }
    // Two descriptors for each chain.
    let slots = completed * 2
    let half = UInt32(slots % Int(Self.size)) | (slots / Int(Self.size) % 2 == 0 ? 0x8000 : 0)
    return half | half << 16
  }
}

/// What was said of one ring.
private struct ReplayRing {
  var isKicked = false
  var isEnabled = false
  var isSized = false
  var isPlaced = false
  /// Where SET_VRING_BASE has put it, until it runs.
  var base: UInt32?
  var told: UInt32?
  var driver: ReplayDriver
}

/// A connection that may not be there.
private final class ReplayConnection {
  let raw: RawFrontEnd

  init(_ raw: consuming RawFrontEnd) { self.raw = raw }
}

/// Plays recordings to one server.
final class Replay {
  private let connect: () throws -> RawFrontEnd
  private let features: Features
  private let shared: SharedGuestMemory
  private var space: GuestSpace
  private var connection: ReplayConnection?
  private var rings: [ReplayRing] = []
  private var hasMemory = false
  private var startsDisabled = false
  private var serial: UInt64 = 0
  private let buffers: UInt64
  /// Chains that came back to drivers that are gone.
  private var servedBefore = 0

  /// Chains that came back, to all drivers.
  var served: Int { rings.reduce(servedBefore) { $0 + $1.driver.completed } }

  /// - Parameters:
  ///   - features: what drivers accept, in place of what was recorded.
  ///   - ringCount: how many rings the device has.
  ///   - connect: makes a connection.
  init(_ features: Features, ringCount: Int, connect: @escaping () throws -> RawFrontEnd) throws {
    self.connect = connect
    // What a kick by eventfd cannot carry is not offered.
    self.features = features.subtracting(.notificationData)
    let range: Range<UInt64> = 0x10_0000..<0x110_0000
    shared = try SharedGuestMemory([range])
    space = GuestSpace(range)
    buffers = space.take(16 * 1024)
    for index in 0..<ringCount {
      rings.append(ReplayRing(driver: try makeDriver(index)))
    }
  }

  private var isPacked: Bool { features.contains(.packedRing) }
  private var beginning: UInt32 { isPacked ? 0x8000_8000 : 0 }

  private func makeDriver(_ index: Int) throws -> ReplayDriver {
    let plan: RingPlan =
      isPacked
      ? .packed(size: ReplayDriver.size, in: &space)
      : .split(size: ReplayDriver.size, in: &space)
    return ReplayDriver(
      try FrontEndRing(
        index: index,
        driver: Driver(plan, memory: shared.memory, features: features)))
  }

  /// Plays a recording.
  func play(_ events: [RecordedEvent]) throws {
    for event in events {
      try play(event)
      try goOn()
    }
  }

  /// Collects what was served after the last event, when the server has ended.
  func finish() throws {
    for ring in rings { try ring.driver.collect(in: shared.memory) }
  }

  // MARK: The driver

  private func runs(_ ring: ReplayRing) -> Bool {
    connection != nil && hasMemory && ring.isKicked && ring.isSized && ring.isPlaced
      && (ring.isEnabled || !startsDisabled)
  }

  /// A guest makes requests, and finds those done that can be.
  private func goOn() throws {
    for index in rings.indices {
      let runs = runs(rings[index])
      let driver = rings[index].driver
      // A few at most while nobody serves them.
      let wanted = runs ? 5 : max(0, 2 - driver.outstanding.count)
      for _ in 0..<wanted {
        serial += 1
        guard
          driver.offer(
            serial, source: buffers + serial % 1024 * 16, in: shared.memory)
        else { break }
      }
      guard runs else { continue }
      rings[index].base = nil
      try driver.collectAll(in: shared.memory)
    }
  }

  // MARK: Events

  private func play(_ event: RecordedEvent) throws {
    switch event {
    case .connect:
      connection = ReplayConnection(try connect())
    case .hangup:
      connection = nil
      hasMemory = false
      startsDisabled = false
      for index in rings.indices { stop(index) }
    case .request(let request, let fields, let wantsReply):
      let index = fields["index"].flatMap { Int($0) } ?? 0
      let (payload, descriptors) = try prepare(request, index, fields)
      guard let payload else { return }
      guard let connection else { throw FrontEndError.closed }
      try connection.raw.send(
        request, payload, descriptors: descriptors, needReply: wantsReply)
      if request.isQuestion || wantsReply {
        let reply = try connection.raw.receiveReply(to: request)
        if request == .getVringBase { try check(index, reply) }
        if !request.isQuestion, reply != FrontEnd.bytes(0) { throw FrontEndError.refused }
      } else if request.stopsRings {
        // The guest's requests come after it: whatever was served before is done.
        try connection.raw.send(.getFeatures)
        _ = try connection.raw.receiveReply(to: .getFeatures)
      }
      note(request, index, fields)
    }
  }

  private func check(_ index: Int, _ reply: [UInt8]) throws {
    guard let state = VringState(reply), state.index == UInt32(index) else {
      throw FrontEndError.badReply
    }
    let expected =
      try rings[index].base ?? rings[index].driver.position(isPacked: isPacked, in: shared.memory)
    guard state.number == expected else {
      throw ReplayFault.wrongPosition(ring: index, told: state.number, expected: expected)
    }
    rings[index].told = state.number
  }

  /// The request as this front-end and driver make it; nil where there is nothing to ask.
  private func prepare(
    _ request: FrontEndRequest, _ index: Int, _ fields: [String: String]
  ) throws -> (payload: [UInt8]?, descriptors: [Int32]) {
    let number = UInt32(index)
    func state(_ value: UInt32) -> [UInt8] { VringState(index: number, number: value).bytes }
    switch request {
    case .setFeatures:
      let bits = fields["value"].flatMap { UInt64($0.dropFirst(2), radix: 16) } ?? 0
      return (FrontEnd.bytes(features.rawValue | bits & protocolFeaturesBit), [])
    case .setProtocolFeatures:
      let bits = fields["value"].flatMap { UInt64($0.dropFirst(2), radix: 16) } ?? 0
      return (FrontEnd.bytes(bits & ProtocolFeatures.offered.rawValue), [])
    case .setStatus:
      let value = fields["value"].flatMap { UInt64($0.dropFirst(2), radix: 16) } ?? 0
      return (FrontEnd.bytes(value), [])
    case .setMemoryTable:
      return (
        RegionDescription.tableBytes(shared.descriptions), shared.descriptors
      )
    case .addMemoryRegion:
      // Ours has one region, however many the recorded guest had.
      guard !hasMemory else { return (nil, []) }
      return (shared.descriptions[0].singleRegionBytes, shared.descriptors)
    case .removeMemoryRegion:
      guard hasMemory else { return (nil, []) }
      return (shared.descriptions[0].singleRegionBytes, [])
    case .setVringSize: return (state(UInt32(ReplayDriver.size)), [])
    case .setVringEnable: return (state(fields["num"] == "1" ? 1 : 0), [])
    case .setVringBase: return (state(try base(index, fields["num"] ?? "")), [])
    case .getVringBase: return (state(0), [])
    case .setVringAddress: return (FrontEnd.address(of: rings[index].driver.ring).bytes, [])
    case .setVringKick, .setVringCall, .setVringError:
      let hasDescriptor = fields["none"] == nil
      let payload = VringDescriptorIndex(index: UInt8(index), hasDescriptor: hasDescriptor)
      let ring = rings[index].driver
      let descriptor =
        request == .setVringKick ? ring.ring.kick.descriptor.raw : ring.ring.call.descriptor.raw
      return (FrontEnd.bytes(payload.rawValue), hasDescriptor ? [descriptor] : [])
    case .getConfiguration:
      let zeros = [UInt8](repeating: 0, count: 8)
      return (ConfigurationAccess(offset: 0, content: zeros).bytes, [])
    case .setConfiguration, .setBackendChannel: return (nil, [])
    default: return ([], [])
    }
  }

  /// What SET_VRING_BASE says. A number is the start of a new driver's ring.
  private func base(_ index: Int, _ num: String) throws -> UInt32 {
    let driver = rings[index].driver
    switch num {
    case "position":
      rings[index].base = rings[index].told
      return rings[index].told ?? beginning
    case "used":
      rings[index].base = nil
      return try driver.position(isPacked: isPacked, in: shared.memory)
    default:
      try driver.collect(in: shared.memory)
      if driver.completed > 0 || !driver.outstanding.isEmpty {
        servedBefore += driver.completed
        rings[index].driver = try makeDriver(index)
      }
      rings[index].base = beginning
      // User-mode Linux says 0 whatever the ring's format.
      return num == "0" ? 0 : beginning
    }
  }

  /// Remembers what a request does.
  private func note(_ request: FrontEndRequest, _ index: Int, _ fields: [String: String]) {
    switch request {
    case .setFeatures:
      let bits = fields["value"].flatMap { UInt64($0.dropFirst(2), radix: 16) } ?? 0
      startsDisabled = bits & protocolFeaturesBit != 0
    case .setMemoryTable, .addMemoryRegion: hasMemory = true
    case .removeMemoryRegion: hasMemory = false
    case .setVringSize: rings[index].isSized = true
    case .setVringAddress: rings[index].isPlaced = true
    case .setVringKick: rings[index].isKicked = true
    case .setVringEnable: rings[index].isEnabled = fields["num"] == "1"
    case .getVringBase: rings[index].isKicked = false
    case .resetOwner, .resetDevice: for index in rings.indices { stop(index) }
    case .setStatus where fields["value"] == "0x0":
      for index in rings.indices { stop(index) }
    default: break
    }
  }

  private func stop(_ index: Int) {
    rings[index].isKicked = false
    rings[index].isEnabled = false
  }
}

extension FrontEndRequest {
  /// Whether it has an answer of its own.
  fileprivate var isQuestion: Bool {
    switch self {
    case .getFeatures, .getProtocolFeatures, .getQueueCount, .getVringBase, .getConfiguration,
      .getMemorySlotCount, .getStatus:
      true
    default: false
    }
  }

  /// Whether rings may not run any more when it is done.
  fileprivate var stopsRings: Bool {
    switch self {
    case .setVringEnable, .setStatus, .resetDevice, .resetOwner, .removeMemoryRegion: true
    default: false
    }
  }
}
