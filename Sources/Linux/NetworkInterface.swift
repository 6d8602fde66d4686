// SPDX-License-Identifier: Apache-2.0
//
// A network interface by its name, in the network namespace of the calling thread (netdevice(7)).

import CLinux
import Glibc

/// A network interface.
public struct NetworkInterface: Sendable, Hashable {
  /// Its name.
  public let name: String

  /// Names an interface, which need not exist. A name that none can have makes each call throw
  /// `.invalidArgument`; that of one that does not exist, `.noSuchDevice`.
  public init(_ name: String) {
    self.name = name
  }

  /// Whether there is such an interface.
  public var exists: Bool { (try? index()) != nil }

  /// Its number (SIOCGIFINDEX).
  public func index() throws(Errno) -> Int32 {
    var index: Int32 = 0
    // SAFETY: the call reads a terminated name and writes an int to a local.
    try call { unsafe clinux_if_index($0, &$1.bytes, &index) }
    return index
  }

  // MARK: - State

  /// Whether it is switched on (IFF_UP).
  public func isUp() throws(Errno) -> Bool {
    Int32(try flags()) & Int32(IFF_UP) != 0
  }

  /// Switches it on or off (SIOCSIFFLAGS).
  public func setUp(_ on: Bool = true) throws(Errno) {
    let up = Int16(IFF_UP)
    let flags = try flags()
    // SAFETY: the call reads a terminated name.
    try call { unsafe clinux_if_set_flags($0, &$1.bytes, on ? flags | up : flags & ~up) }
  }

  /// Whether it has a link: of a tap, whether somebody has it open and it is up (ETHTOOL_GLINK).
  public func hasCarrier() throws(Errno) -> Bool {
    var link: UInt32 = 0
    // SAFETY: the call reads a terminated name and writes an unsigned int to a local.
    try call { unsafe clinux_ethtool_glink($0, &$1.bytes, &link) }
    return link != 0
  }

  /// The longest packet that goes through it, in bytes, without the frame's header (SIOCGIFMTU).
  public func mtu() throws(Errno) -> Int {
    var mtu: Int32 = 0
    // SAFETY: the call reads a terminated name and writes an int to a local.
    try call { unsafe clinux_if_mtu($0, &$1.bytes, &mtu) }
    return Int(mtu)
  }

  /// Sets the longest packet that goes through it (SIOCSIFMTU).
  ///
  /// - Throws: `.invalidArgument` when it is too short or too long for the interface.
  public func setMTU(_ mtu: Int) throws(Errno) {
    guard let mtu = Int32(exactly: mtu) else { throw .invalidArgument }
    // SAFETY: the call reads a terminated name.
    try call { unsafe clinux_if_set_mtu($0, &$1.bytes, mtu) }
  }

  // MARK: - Addresses

  /// Its Ethernet address, 6 bytes (SIOCGIFHWADDR).
  public func hardwareAddress() throws(Errno) -> [UInt8] {
    var address = [UInt8](repeating: 0, count: 6)
    // SAFETY: the call reads a terminated name and writes 6 bytes to an array of 6.
    try call { unsafe clinux_if_hwaddr($0, &$1.bytes, &address) }
    return address
  }

  /// Sets its Ethernet address (SIOCSIFHWADDR).
  ///
  /// - Throws: `.invalidArgument` unless there are 6 bytes; `.addressNotAvailable` when they are a
  ///   group's address or all zeros.
  public func setHardwareAddress(_ address: [UInt8]) throws(Errno) {
    guard address.count == 6 else { throw .invalidArgument }
    // SAFETY: the call reads a terminated name and 6 bytes of an array of 6.
    try call { unsafe clinux_if_set_hwaddr($0, &$1.bytes, address) }
  }

  /// Its IPv4 address; nil when it has none (SIOCGIFADDR, SIOCGIFNETMASK).
  public func address() throws(Errno) -> IPv4Prefix? {
    var address: UInt32 = 0
    var mask: UInt32 = 0
    do throws(Errno) {
      // SAFETY: the calls read a terminated name and write four bytes to a local of four.
      try call { unsafe clinux_if_addr($0, &$1.bytes, &address) }
      try call { unsafe clinux_if_netmask($0, &$1.bytes, &mask) }
    } catch .addressNotAvailable {
      return nil
    }
    return IPv4Prefix(
      address: UInt32(bigEndian: address), length: UInt32(bigEndian: mask).nonzeroBitCount)
  }

  /// Sets its IPv4 address, replacing the one that it had (SIOCSIFADDR, SIOCSIFNETMASK).
  public func setAddress(_ prefix: IPv4Prefix) throws(Errno) {
    // SAFETY: the calls read a terminated name.
    try call { unsafe clinux_if_set_addr($0, &$1.bytes, prefix.address.bigEndian) }
    try call { unsafe clinux_if_set_netmask($0, &$1.bytes, prefix.mask.bigEndian) }
  }

  // MARK: - Bridges

  /// Puts it on a bridge (SIOCBRADDIF).
  ///
  /// - Throws: `.busy` when it is on one; `.notSupported` when `bridge` is none; `.noSuchDevice`.
  public func add(toBridge bridge: NetworkInterface) throws(Errno) {
    let index = try index()
    // SAFETY: the call reads a terminated name.
    try bridge.call { unsafe clinux_br_addif($0, &$1.bytes, index) }
  }

  /// Takes it off a bridge (SIOCBRDELIF).
  ///
  /// - Throws: `.invalidArgument` when it is not on it.
  public func remove(fromBridge bridge: NetworkInterface) throws(Errno) {
    let index = try index()
    // SAFETY: the call reads a terminated name.
    try bridge.call { unsafe clinux_br_delif($0, &$1.bytes, index) }
  }

  /// Makes a bridge of this name (SIOCBRADDBR).
  public func createBridge() throws(Errno) {
    // SAFETY: the call reads a terminated name.
    try call { unsafe clinux_br_addbr($0, &$1.bytes) }
  }

  /// Removes the bridge of this name, which must be down (SIOCBRDELBR).
  public func removeBridge() throws(Errno) {
    // SAFETY: the call reads a terminated name.
    try call { unsafe clinux_br_delbr($0, &$1.bytes) }
  }

  // MARK: - Calls

  private func flags() throws(Errno) -> Int16 {
    var flags: Int16 = 0
    // SAFETY: the call reads a terminated name and writes a short to a local.
    try call { unsafe clinux_if_flags($0, &$1.bytes, &flags) }
    return flags
  }

  /// Makes a call on an idle socket: the kernel takes the network from it, and the kind of address.
  private func call(_ body: (Int32, inout InterfaceName) -> Int32) throws(Errno) {
    var field = try InterfaceName(name)
    let kind = Int32(SOCK_DGRAM.rawValue) | clinux_SOCK_CLOEXEC
    let socket = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) { Glibc.socket(AF_INET, kind, 0) })
    _ = try systemCall(retryOnInterrupt: true) { body(socket.raw, &field) }
  }
}
