// SPDX-License-Identifier: Apache-2.0
//
// TapBackend: the host's end of a network device, a tap interface or a socket, opened and ready.
//
// A tap is told two things when driver and device have settled: how long the header before each
// frame is, and what the driver takes in it. What it does not take the kernel finishes itself,
// before the frame is read here. A socket has nobody to tell: its other end has to know.

import Linux

/// The host's end of a network device.
struct TapBackend: ~Copyable, Sendable {
  private enum End: ~Copyable, Sendable {
    case tap(Tap)
    case socket(FileDescriptor)
  }

  private let end: End
  /// What the host takes, and can be told to leave to the driver.
  let offloads: FrameOffloads
  /// The host's interface; nil for a socket, and for a tap in another network.
  let interface: NetworkInterface?
  /// Whether reads may be made to wait: the open file is ours alone, and a write to it waits never.
  let mayWait: Bool

  private init(socket: consuming FileDescriptor) {
    end = .socket(socket)
    offloads = .all
    interface = nil
    mayWait = false
  }

  private init(
    tap: consuming Tap, offloads: FrameOffloads, interface: NetworkInterface?, mayWait: Bool
  ) {
    end = .tap(tap)
    self.offloads = offloads
    self.interface = interface
    self.mayWait = mayWait
  }

  // MARK: Opening

  /// Opens what the options name and sets it up.
  ///
  /// - Parameter name: the device's, for errors.
  static func open(name: String, options: NetOptions) throws(DeviceError) -> TapBackend {
    switch options.tap {
    case .create(let tapName):
      let tap = try TapSetup(name: tapName, options: options).open()
      return try prepare(tap, isOurs: true, for: name)
    case .fd(let number): return try adopt(number, name: name, options)
    }
  }

  private static func adopt(
    _ number: Int32, name: String, _ options: NetOptions
  ) throws(DeviceError) -> TapBackend {
    let action = "use file descriptor \(number) for \(name)"
    guard number >= 0 else { throw DeviceError(action, .badFileDescriptor) }
    let descriptor = FileDescriptor(owning: number)
    let isSocket: Bool
    let keepsMessages: Bool
    do throws(Errno) {
      isSocket = try descriptor.status().kind == .socket
      keepsMessages = isSocket ? try descriptor.keepsMessages() : true
      try descriptor.setNonBlocking(true)
    } catch {
      throw DeviceError(action, error)
    }
    guard isSocket else { return try adoptTap(descriptor, action, name: name, options) }
    guard keepsMessages else {
      throw DeviceError(action, "a stream socket does not keep frames apart")
    }
    guard options.bridge == nil, options.address == nil else {
      throw DeviceError(action, "a socket has no interface that could have an address or a bridge")
    }
    return TapBackend(socket: descriptor)
  }

  private static func adoptTap(
    _ descriptor: consuming FileDescriptor, _ action: String, name: String, _ options: NetOptions
  ) throws(DeviceError) -> TapBackend {
    let tap: Tap
    do throws(Errno) {
      tap = try Tap(adopting: descriptor)
    } catch .badDescriptorState {
      throw DeviceError(action, "it is /dev/net/tun without an interface")
    } catch {
      throw DeviceError(action, "it is neither a tap nor a socket")
    }
    guard tap.flags.isSuperset(of: [.tap, .noPacketInformation, .virtioHeader]) else {
      throw DeviceError(
        action, "\(tap.name) is no tap opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR")
    }
    try TapSetup(name: nil, options: options).apply(to: tap, mayBeDown: true)
    return try prepare(tap, isOurs: false, for: name)
  }

  private static func prepare(
    _ tap: consuming Tap, isOurs: Bool, for name: String
  ) throws(DeviceError) -> TapBackend {
    do throws(Errno) {
      try tap.descriptor.setNonBlocking(true)
      // Whoever had the tap before may have left another one; a driver that accepts nothing has this.
      try tap.setHeaderSize(NetFormat([]).headerSize)
      let offloads = try probe { (offloads) throws(Errno) in try tap.setOffloads(offloads) }
      let interface = try isHere(tap) ? tap.interface : nil
      // Whoever had the interface before may have left a limit.
      let hasRoom = try tap.sendBufferSize() == Int(Int32.max)
      return TapBackend(
        tap: tap, offloads: offloads, interface: interface, mayWait: isOurs && hasRoom)
    } catch {
      throw DeviceError("prepare the tap of \(name)", error)
    }
  }

  /// Finds out what a tap can leave to a driver, by trying: which of these a kernel knows depends on
  /// its age.
  ///
  /// - Parameter set: tells the tap, which throws `.invalidArgument` where it does not know it all.
  static func probe(
    _ set: (TapOffloads) throws(Errno) -> Void
  ) throws(Errno) -> FrameOffloads {
    let attempts: [FrameOffloads] = [
      .all, .all.subtracting(.ufo), .all.subtracting([.ufo, .ecn]), .checksum,
    ]
    for offloads in attempts {
      do throws(Errno) {
        try set(TapOffloads(offloads))
        try set([])
        return offloads
      } catch .invalidArgument {
      }
    }
    return []
  }

  /// Whether the tap's interface is the one of that name in this thread's network.
  private static func isHere(_ tap: borrowing Tap) throws(Errno) -> Bool {
    do throws(Errno) {
      return try tap.interface.hardwareAddress() == tap.hardwareAddress()
    } catch .noSuchDevice {
      return false
    }
  }

  // MARK: In use

  /// A descriptor for a queue. It does not wait; each read and each write is a frame with its
  /// header.
  borrowing func duplicate() throws(Errno) -> FileDescriptor {
    switch end {
    case .tap(let tap): try tap.descriptor.duplicate()
    case .socket(let socket): try socket.duplicate()
    }
  }

  /// Tells the tap how long headers are and what it may leave to the driver.
  borrowing func settle(_ format: NetFormat) throws(Errno) {
    switch end {
    case .tap(let tap):
      try tap.setHeaderSize(format.headerSize)
      try tap.setOffloads(TapOffloads(format.receiveOffloads))
    case .socket: break
    }
  }

  /// Whether an error says that the host's end has vanished for good.
  static func isGone(_ error: Errno) -> Bool {
    switch error {
    case .badDescriptorState, .badFileDescriptor, .noSuchDevice, .noSuchDeviceOrAddress,
      .brokenPipe, .connectionReset, .notConnected:
      true
    default: false
    }
  }
}

extension TapOffloads {
  /// What a frame's receiver takes, in the tap's words.
  init(_ offloads: FrameOffloads) {
    var result: TapOffloads = []
    if offloads.contains(.checksum) { result.insert(.checksum) }
    if offloads.contains(.tso4) { result.insert(.tso4) }
    if offloads.contains(.tso6) { result.insert(.tso6) }
    if offloads.contains(.ecn) { result.insert(.ecn) }
    if offloads.contains(.ufo) { result.insert(.ufo) }
    self = result
  }
}
