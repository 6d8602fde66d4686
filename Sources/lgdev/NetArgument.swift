// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux

/// What `--net` asks for: `tap=tap0[,mac=…][,mtu=…][,bridge=br0][,address=10.0.0.1/24]`, or `fd=N`.
struct NetArgument: Equatable {
  /// The socket's name, where the user chose it.
  var id: String?
  /// Where frames go.
  var tap: NetOptions.Tap
  var mac: MACAddress?
  var mtu: Int?
  /// The bridge that the tap becomes a port of.
  var bridge: String?
  /// The host's own address on the tap.
  var address: IPv4Prefix?

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--net")
    try reader.read(text)
    let name = try reader.interfaceName("tap")
    let descriptorColumn = reader.column(of: "fd")
    let descriptor = try reader.integer("fd", in: 3...1_000_000)
    mac = try reader.value("mac", "a unicast MAC address such as 52:54:00:12:34:56") {
      MACAddress($0)
    }
    mtu = try reader.integer("mtu", in: 68...65521)
    bridge = try reader.interfaceName("bridge")
    address = try reader.value("address", "an address such as 10.0.0.1/24") {
      IPv4Prefix($0)
    }
    id = try reader.deviceName()
    try reader.finish()
    switch (name, descriptor) {
    case (let name?, nil): tap = .create(name)
    case (nil, let descriptor?): tap = .fd(Int32(descriptor))
    case (nil, nil): throw reader.error(at: 1, "the tap is missing; write tap=tap0 or fd=N")
    default:
      throw reader.error(at: descriptorColumn, "'fd' and 'tap' exclude each other")
    }
  }
}

extension KeyValueReader {
  /// Takes the name of a network interface: 1 to 15 bytes, no `/`, no space (netdevice(7)).
  fileprivate mutating func interfaceName(_ key: String) throws(DeviceStringError) -> String? {
    try value(key, "an interface's name: 1 to 15 bytes without '/', ':' and spaces") { name in
      let isLegal = name.allSatisfy { !$0.isWhitespace && $0 != "/" && $0 != ":" }
      return isLegal && name.utf8.count <= 15 && name != "." && name != ".." ? name : nil
    }
  }
}

extension NetOptions.Tap {
  /// What the user wrote.
  var text: String {
    switch self {
    case .create(let name): name ?? "tap"
    case .fd(let descriptor): "descriptor \(descriptor)"
    }
  }
}
