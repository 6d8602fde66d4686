// SPDX-License-Identifier: Apache-2.0
//
// A network interface whose other end is a file: what this process reads was sent through the
// interface, what it writes is received there (Documentation/networking/tuntap.rst).
//
// With `.virtioHeader` each frame has a struct virtio_net_hdr before it, so that checksums and
// segmentation can be left to whoever is last, on this machine or in the guest.

import CLinux

/// How a tap was made (TUNSETIFF).
public struct TapFlags: OptionSet, Sendable, Hashable {
  /// The bits, as in `ifr_flags`.
  public let rawValue: UInt16

  /// Makes a set from its bits.
  public init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  /// Frames of Ethernet, rather than packets of IP (IFF_TAP).
  public static let tap = TapFlags(rawValue: 0x0002)
  /// No four bytes of packet information before each frame (IFF_NO_PI).
  public static let noPacketInformation = TapFlags(rawValue: 0x1000)
  /// A virtio_net_hdr before each frame (IFF_VNET_HDR).
  public static let virtioHeader = TapFlags(rawValue: 0x4000)
  /// Several descriptors may be opened, each a queue (IFF_MULTI_QUEUE).
  public static let multiQueue = TapFlags(rawValue: 0x0100)
}

/// What the reader of a tap takes over from the sender (TUNSETOFFLOAD).
public struct TapOffloads: OptionSet, Sendable, Hashable {
  /// The bits, as for TUNSETOFFLOAD.
  public let rawValue: UInt32

  /// Makes a set from its bits.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// Checksums may be left open; needed for all others (TUN_F_CSUM).
  public static let checksum = TapOffloads(rawValue: 0x01)
  /// TCP segments over IPv4 may be larger than the MTU (TUN_F_TSO4).
  public static let tso4 = TapOffloads(rawValue: 0x02)
  /// TCP segments over IPv6 may be larger than the MTU (TUN_F_TSO6).
  public static let tso6 = TapOffloads(rawValue: 0x04)
  /// Such segments may have ECN's bits set; needs one of the two (TUN_F_TSO_ECN).
  public static let ecn = TapOffloads(rawValue: 0x08)
  /// UDP datagrams may be larger than the MTU (TUN_F_UFO).
  public static let ufo = TapOffloads(rawValue: 0x10)
}

/// One queue of a tap interface. The interface goes with its last queue, unless it is persistent.
public struct Tap: ~Copyable, Sendable {
  /// Reads and writes a frame a call.
  public let descriptor: FileDescriptor
  /// The interface's name.
  public let name: String
  /// How it was made.
  public let flags: TapFlags

  /// Opens a tap: one that exists by that name, or a new one.
  ///
  /// The descriptor waits; see `setNonBlocking`.
  ///
  /// - Parameters:
  ///   - name: 15 bytes at most; nil for a new interface that the kernel names.
  ///   - flags: an interface that exists must have been made with the same `.multiQueue`.
  /// - Throws: `.permission` without CAP_NET_ADMIN, unless the interface was made for this user;
  ///   `.busy` when somebody has it open; `.invalidArgument` for a bad name, an interface that is not a
  ///   tap or that differs; `.notFound`, `.noSuchDevice` where the kernel has no taps.
  public static func open(
    name: String? = nil, flags: TapFlags = [.tap, .noPacketInformation, .virtioHeader]
  ) throws(Errno) -> Tap {
    var field = try InterfaceName(name ?? "tap%d")
    let descriptor = try FileDescriptor.open("/dev/net/tun", .readWrite)
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call reads and writes a name of 16 bytes with its terminator.
      unsafe clinux_tunsetiff(descriptor.raw, &field.bytes, Int16(bitPattern: flags.rawValue))
    }
    return Tap(descriptor: descriptor, name: field.text, flags: flags)
  }

  /// Takes over a tap that somebody else opened and handed here.
  ///
  /// - Throws: `.inappropriateIoctl` when it is none, `.badDescriptorState` when it has no interface.
  public init(adopting descriptor: consuming FileDescriptor) throws(Errno) {
    var field = InterfaceName()
    var flags: Int16 = 0
    let raw = descriptor.raw
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call writes a name of 16 bytes and a short to locals.
      unsafe clinux_tungetiff(raw, &field.bytes, &flags)
    }
    self.init(
      descriptor: descriptor, name: field.text, flags: TapFlags(rawValue: UInt16(bitPattern: flags))
    )
  }

  private init(descriptor: consuming FileDescriptor, name: String, flags: TapFlags) {
    self.descriptor = descriptor
    self.name = name
    self.flags = flags
  }

  /// The interface, for giving it an address or putting it on a bridge.
  public var interface: NetworkInterface { NetworkInterface(name) }

  /// The interface's Ethernet address, asked for through the descriptor (SIOCGIFHWADDR): the interface
  /// may be in a network other than the calling thread's.
  ///
  /// - Throws: `.badDescriptorState` when the interface was removed.
  public borrowing func hardwareAddress() throws(Errno) -> [UInt8] {
    let field = try InterfaceName(name)
    var address = [UInt8](repeating: 0, count: 6)
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call reads a terminated name of 16 bytes and writes 6 bytes to an array of 6.
      unsafe withUnsafeBytes(of: field.bytes) {
        unsafe clinux_if_hwaddr(descriptor.raw, $0.baseAddress, &address)
      }
    }
    return address
  }

  /// Says what the reader of this tap can take (TUNSETOFFLOAD). At first it is nothing.
  ///
  /// - Throws: `.invalidArgument` when the kernel does not know one, or one lacks what it needs.
  public borrowing func setOffloads(_ offloads: TapOffloads) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) {
      clinux_tunsetoffload(descriptor.raw, offloads.rawValue)
    }
  }

  /// Sets the size of the header before each frame: 10 bytes, or 12 with the number of buffers
  /// (TUNSETVNETHDRSZ). At first it is 10.
  public borrowing func setHeaderSize(_ size: Int) throws(Errno) {
    guard let size = Int32(exactly: size) else { throw .invalidArgument }
    _ = try systemCall(retryOnInterrupt: true) { clinux_tunsetvnethdrsz(descriptor.raw, size) }
  }

  /// The size of the header before each frame (TUNGETVNETHDRSZ).
  public borrowing func headerSize() throws(Errno) -> Int {
    var size: Int32 = 0
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call writes an int to a local.
      unsafe clinux_tungetvnethdrsz(descriptor.raw, &size)
    }
    return Int(size)
  }

  /// How many bytes of frames may wait to be received by the host (TUNGETSNDBUF). At first it is
  /// `Int32.max`, and a write never waits.
  public borrowing func sendBufferSize() throws(Errno) -> Int {
    var size: Int32 = 0
    _ = try systemCall(retryOnInterrupt: true) {
      // SAFETY: the call writes an int to a local.
      unsafe clinux_tungetsndbuf(descriptor.raw, &size)
    }
    return Int(size)
  }

  /// Whether the interface stays when its last queue is closed (TUNSETPERSIST).
  public borrowing func setPersistent(_ on: Bool) throws(Errno) {
    _ = try systemCall(retryOnInterrupt: true) { clinux_tunsetpersist(descriptor.raw, on ? 1 : 0) }
  }
}
