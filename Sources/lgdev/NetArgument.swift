// SPDX-License-Identifier: Apache-2.0

/// What `--net` asks for: `tap=tap0[,mac=…][,mtu=…][,bridge=br0][,address=10.0.0.1/24]`, or `fd=N`.
struct NetArgument: Equatable {
  /// Where frames go.
  enum Link: Equatable {
    /// A tap, opened or made by name.
    case tap(String)
    /// A descriptor of an open tap, inherited.
    case descriptor(Int32)
  }

  /// An IPv4 address and the length of its network's prefix.
  struct Address: Equatable {
    var bytes: [UInt8]
    var prefixLength: Int
  }

  /// The socket's name, where the user chose it.
  var id: String?
  var link: Link
  var mac: [UInt8]?
  var mtu: Int?
  /// The bridge that the tap becomes a port of.
  var bridge: String?
  /// The host's own address on the tap.
  var address: Address?

  init(_ text: String) throws(DeviceStringError) {
    var reader = KeyValueReader(option: "--net")
    try reader.read(text)
    let tap = try reader.interfaceName("tap")
    let descriptorColumn = reader.column(of: "fd")
    let descriptor = try reader.integer("fd", in: 3...1_000_000)
    switch (tap, descriptor) {
    case (let tap?, nil): link = .tap(tap)
    case (nil, let descriptor?): link = .descriptor(Int32(descriptor))
    case (nil, nil): throw reader.error(at: 1, "the tap is missing; write tap=tap0 or fd=N")
    default:
      throw reader.error(at: descriptorColumn, "'fd' and 'tap' exclude each other")
    }
    mac = try reader.value("mac", "a unicast MAC address such as 52:54:00:12:34:56", parseMAC)
    mtu = try reader.integer("mtu", in: 68...65535)
    bridge = try reader.interfaceName("bridge")
    address = try reader.value("address", "an address such as 10.0.0.1/24", Address.init(text:))
    id = try reader.deviceName()
    try reader.finish()
  }
}

extension NetArgument.Address {
  init?(text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let length = decimal(parts[1]), (0...32).contains(length) else {
      return nil
    }
    let numbers = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    bytes = numbers.compactMap { decimal($0).flatMap(UInt8.init(exactly:)) }
    guard numbers.count == 4, bytes.count == 4 else { return nil }
    prefixLength = length
  }
}

/// Six hexadecimal bytes; not a group address, which no station may have (IEEE 802, 8.2).
private func parseMAC(_ text: String) -> [UInt8]? {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false)
  let bytes = parts.compactMap {
    $0.count == 2 && $0.allSatisfy(\.isHexDigit) ? UInt8($0, radix: 16) : nil
  }
  guard parts.count == 6, bytes.count == 6, bytes[0] & 1 == 0 else { return nil }
  return bytes
}

extension KeyValueReader {
  /// Takes the name of a network interface: 1 to 15 bytes, no `/`, no space (netdevice(7)).
  fileprivate mutating func interfaceName(_ key: String) throws(DeviceStringError) -> String? {
    try value(key, "an interface's name: 1 to 15 bytes without '/', ':' and spaces") {
      let isLegal =
        $0.utf8.count <= 15 && $0 != "." && $0 != ".."
        && $0.allSatisfy { !$0.isWhitespace && $0 != "/" && $0 != ":" }
      return isLegal ? $0 : nil
    }
  }
}
