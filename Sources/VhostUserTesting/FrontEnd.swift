// SPDX-License-Identifier: Apache-2.0
//
// FrontEnd: an honest vhost-user front-end without a virtual machine. It negotiates, shares memory, sets
// rings up and drives them. Tests and benchmarks use it in place of QEMU; what it can not do, or must
// do wrong, goes through `raw`.

import Linux
public import VhostUserTransport
public import VirtioRing
public import VirtioTesting

/// A front-end, connected to a back-end.
public final class FrontEnd {
  /// The connection.
  public let raw: RawFrontEnd
  /// What the rings and buffers lie in.
  public let memory: SharedGuestMemory
  /// Guest addresses that nobody has taken yet.
  public var space: GuestSpace
  /// What the device offers.
  public private(set) var offeredFeatures: Features = []
  /// What was accepted.
  public private(set) var features: Features = []
  /// What the protocol does beyond the oldest requests.
  public private(set) var protocolFeatures: ProtocolFeatures = []

  /// Connects to a back-end that listens.
  ///
  /// - Parameters:
  ///   - path: where it listens.
  ///   - byteCount: how much guest memory there is, in one region that starts at 1 MiB.
  public convenience init(
    connectingTo path: String, memory byteCount: UInt64 = 4 << 20
  ) throws(FrontEndError) {
    try self.init(try RawFrontEnd(connectingTo: path), memory: byteCount)
  }

  /// Takes over a connection.
  public init(
    _ raw: consuming RawFrontEnd, memory byteCount: UInt64 = 4 << 20
  ) throws(FrontEndError) {
    self.raw = raw
    let range = 0x10_0000..<0x10_0000 + byteCount
    memory = try SharedGuestMemory([range])
    space = GuestSpace(range)
  }

  // MARK: Requests

  /// Sends a request and, where replies can be asked for, waits until it is done.
  ///
  /// - Throws: `.refused` where the back-end says that it is not.
  public func tell(
    _ request: FrontEndRequest, _ payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws(FrontEndError) {
    let acknowledged = protocolFeatures.contains(.replyAck)
    try raw.send(request, payload, descriptors: descriptors, needReply: acknowledged)
    guard acknowledged else { return }
    guard try Self.number(try raw.receiveReply(to: request)) == 0 else { throw .refused }
  }

  /// Sends a request that has a reply of its own. - Returns: the reply's payload.
  public func ask(
    _ request: FrontEndRequest, _ payload: [UInt8] = []
  ) throws(FrontEndError) -> [UInt8] {
    try raw.send(request, payload)
    return try raw.receiveReply(to: request)
  }

  /// Asks for a number.
  public func askNumber(_ request: FrontEndRequest) throws(FrontEndError) -> UInt64 {
    try Self.number(try ask(request))
  }

  private static func number(_ payload: [UInt8]) throws(FrontEndError) -> UInt64 {
    var reader = PayloadReader(payload)
    guard payload.count == 8, let number = reader.read64() else { throw .badReply }
    return number
  }

  /// The payload of a request with one number.
  public static func bytes(_ number: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append64(number)
    return bytes
  }

  // MARK: Steps

  /// Negotiates features of protocol and device.
  ///
  /// - Parameters:
  ///   - wanted: accepted as far as the device offers them.
  ///   - wantedProtocol: chosen as far as the back-end offers them; nil for a front-end that does
  ///     not know of protocol features, whose rings start enabled.
  public func negotiate(
    _ wanted: Features, protocolFeatures wantedProtocol: ProtocolFeatures? = .offered
  ) throws(FrontEndError) {
    let offered = try askNumber(.getFeatures)
    offeredFeatures = Features(rawValue: offered & ~protocolFeaturesBit)
    features = offeredFeatures.intersection(wanted)
    var accepted = features.rawValue
    if let wantedProtocol, offered & protocolFeaturesBit != 0 {
      accepted |= protocolFeaturesBit
      let offered = ProtocolFeatures(rawValue: try askNumber(.getProtocolFeatures))
      let chosen = wantedProtocol.intersection(offered)
      try tell(.setProtocolFeatures, Self.bytes(chosen.rawValue))
      protocolFeatures = chosen
    }
    try tell(.setOwner)
    try tell(.setFeatures, Self.bytes(accepted))
  }

  /// Shares all memory in one table.
  public func shareMemory() throws(FrontEndError) {
    try tell(
      .setMemoryTable, RegionDescription.tableBytes(memory.descriptions),
      descriptors: memory.descriptors)
  }

  /// Makes a ring in guest memory, of the format that was negotiated.
  public func makeRing(_ index: Int, size: UInt16) throws(FrontEndError) -> FrontEndRing {
    let plan: RingPlan =
      features.contains(.packedRing)
      ? .packed(size: size, in: &space) : .split(size: size, in: &space)
    return try FrontEndRing(
      index: index, driver: Driver(plan, memory: memory.memory, features: features))
  }

  /// Where a ring lies, as the back-end is told.
  public static func address(of ring: borrowing FrontEndRing) -> VringAddress {
    let places: (UInt64, UInt64, UInt64)
    switch ring.driver.plan.layout {
    case .split(let descriptors, let available, let used): places = (descriptors, available, used)
    case .packed(let descriptors, let driverEvent, let deviceEvent):
      places = (descriptors, driverEvent, deviceEvent)
    }
    return VringAddress(
      index: UInt32(ring.index), descriptors: SharedGuestMemory.userAddress(of: places.0),
      used: SharedGuestMemory.userAddress(of: places.2),
      available: SharedGuestMemory.userAddress(of: places.1))
  }

  /// Tells the back-end all of a ring, so that it runs.
  ///
  /// - Parameters:
  ///   - ring: as `makeRing` has made it.
  ///   - base: where to go on, as `stopRing` said; nil for a new ring.
  public func startRing(
    _ ring: borrowing FrontEndRing, base: UInt32? = nil
  ) throws(FrontEndError) {
    let index = UInt32(ring.index)
    let start: UInt32 = features.contains(.packedRing) ? 0x8000_8000 : 0
    try tell(
      .setVringSize, VringState(index: index, number: UInt32(ring.driver.plan.size)).bytes)
    try tell(.setVringBase, VringState(index: index, number: base ?? start).bytes)
    try tell(.setVringAddress, Self.address(of: ring).bytes)
    let number = VringDescriptorIndex(index: UInt8(ring.index), hasDescriptor: true).rawValue
    try tell(.setVringCall, Self.bytes(number), descriptors: [ring.call.descriptor.raw])
    try tell(.setVringKick, Self.bytes(number), descriptors: [ring.kick.descriptor.raw])
    try enableRing(ring.index, true)
  }

  /// Enables or disables a ring, where that can be told.
  public func enableRing(_ index: Int, _ isEnabled: Bool) throws(FrontEndError) {
    guard !protocolFeatures.isEmpty else { return }
    try tell(
      .setVringEnable, VringState(index: UInt32(index), number: isEnabled ? 1 : 0).bytes)
  }

  /// Stops a ring. - Returns: where it stands.
  public func stopRing(_ index: Int) throws(FrontEndError) -> UInt32 {
    let state = VringState(
      try ask(.getVringBase, VringState(index: UInt32(index), number: 0).bytes))
    guard let state, state.index == UInt32(index) else { throw .badReply }
    return state.number
  }

  /// Reads a piece of the configuration space.
  public func readConfiguration(
    at offset: UInt32 = 0, byteCount: Int
  ) throws(FrontEndError) -> [UInt8] {
    let zeros = [UInt8](repeating: 0, count: byteCount)
    let reply = try ask(
      .getConfiguration, ConfigurationAccess(offset: offset, content: zeros).bytes)
    guard let access = ConfigurationAccess(reply), access.offset == offset,
      access.content.count == byteCount
    else { throw .badReply }
    return access.content
  }

  /// Everything from the first request to rings that run.
  ///
  /// - Returns: a ring, started.
  public func bringUp(
    _ wanted: Features = .allRing, queue: Int = 0, size: UInt16 = 64
  ) throws(FrontEndError) -> FrontEndRing {
    try negotiate(wanted)
    try shareMemory()
    let ring = try makeRing(queue, size: size)
    try startRing(ring)
    return ring
  }
}
