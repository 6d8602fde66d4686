// SPDX-License-Identifier: Apache-2.0
//
// TapSetup: from what the user wants of a tap to a tap that is so, or one line about what is in the
// way.

import Linux

/// Opens a tap and sets its interface up.
struct TapSetup {
  /// The interface; nil lets the kernel name it.
  private let name: String?
  private let options: NetOptions

  /// Taps take packets of this length, in bytes.
  static let mtuRange = 68...65521

  /// Looks at everything that can be wrong before anything is made.
  init(name: String?, options: NetOptions) throws(DeviceError) {
    self.name = name
    self.options = options
    if let name {
      let isLegal = name.allSatisfy { $0 != "/" && $0 != ":" && !$0.isWhitespace }
      guard isLegal, (1...15).contains(name.utf8.count), name != ".", name != ".." else {
        throw DeviceError(
          "open tap '\(name)'",
          "an interface's name has 1 to 15 bytes, without '/', ':' and white space")
      }
    }
    if let bridge = options.bridge, !NetworkInterface(bridge).exists {
      throw DeviceError(
        "put \(name ?? "a tap") on bridge \(bridge)",
        "there is no such bridge; make it with 'ip link add \(bridge) type bridge'")
    }
  }

  // MARK: Opening

  /// Opens the tap, which is made if it does not exist, and sets it up.
  func open() throws(DeviceError) -> Tap {
    let existed = name.map { NetworkInterface($0).exists } ?? false
    let tap: Tap
    do throws(Errno) {
      tap = try Tap.open(name: name)
    } catch {
      let action = name.map { "open tap \($0)" } ?? "make a tap"
      throw DeviceError(action, Self.reason(error, name: name ?? "tap0"))
    }
    try apply(to: tap, mayBeDown: existed)
    return tap
  }

  static func reason(_ error: Errno, name: String) -> String {
    switch error {
    case .notFound, .noSuchDevice, .noSuchDeviceOrAddress:
      "there is no /dev/net/tun; load it with 'modprobe tun', or give the device to the container"
    case .accessDenied: "no access to /dev/net/tun; run as root, or let this user read and write it"
    case .permission:
      "this takes CAP_NET_ADMIN; or have root make the tap: "
        + "ip tuntap add dev \(name) mode tap user USER"
    case .busy: "another program has it open; choose another name, or end that program"
    case .invalidArgument:
      "there is an interface of that name which is no tap, or one of several queues; "
        + "choose another name"
    default: error.description
    }
  }

  // MARK: Setting up

  /// Sets the interface of a tap up as the options say.
  ///
  /// - Parameter mayBeDown: whether the interface may stay down where no right to switch it on is
  ///   had: somebody else made it.
  func apply(to tap: borrowing Tap, mayBeDown: Bool) throws(DeviceError) {
    let interface = tap.interface
    if let mtu = options.mtu {
      try step("set the MTU of \(interface.name) to \(mtu)") { () throws(Errno) in
        if try interface.mtu() != mtu { try interface.setMTU(mtu) }
      }
    }
    if let bridge = options.bridge { try join(bridge, interface) }
    if let address = options.address {
      try step("give \(interface.name) the address \(address)") { () throws(Errno) in
        if try interface.address() != address { try interface.setAddress(address) }
      }
    }
    try step("switch \(interface.name) on") { () throws(Errno) in
      do throws(Errno) {
        if try !interface.isUp() { try interface.setUp() }
      } catch .permission where mayBeDown {
      } catch .noSuchDevice where mayBeDown {
        // Opened in another network, which is not ours to set up.
      }
    }
  }

  /// Puts the interface on a bridge. It may be there already.
  private func join(_ bridge: String, _ interface: NetworkInterface) throws(DeviceError) {
    let action = "put \(interface.name) on bridge \(bridge)"
    let bridge = NetworkInterface(bridge)
    do throws(Errno) {
      do throws(Errno) {
        try interface.add(toBridge: bridge)
      } catch .busy {
        // On this bridge or on another one: it can be taken off this one only if it was there.
        try interface.remove(fromBridge: bridge)
        try interface.add(toBridge: bridge)
      }
    } catch .invalidArgument {
      throw DeviceError(
        action, "it is on another bridge; take it off with 'ip link set \(interface.name) nomaster'"
      )
    } catch .notSupported {
      throw DeviceError(action, "that interface is no bridge")
    } catch .permission {
      throw DeviceError(action, Self.missingRight)
    } catch {
      throw DeviceError(action, error)
    }
  }

  private static let missingRight = "this takes CAP_NET_ADMIN; run as root, or set it up beforehand"

  private func step(_ action: String, _ body: () throws(Errno) -> Void) throws(DeviceError) {
    do throws(Errno) {
      try body()
    } catch .permission {
      throw DeviceError(action, Self.missingRight)
    } catch {
      throw DeviceError(action, error)
    }
  }
}
