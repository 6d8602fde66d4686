// SPDX-License-Identifier: Apache-2.0
//
// The few packets that the tests on a real tap need, built and taken apart by hand.

/// One station of a test's network.
struct Station: Sendable {
  let mac: [UInt8]
  let address: [UInt8]

  /// The station with that last byte in 10.0.0.0/24.
  init(_ number: UInt8) {
    mac = [0x52, 0x54, 0, 0, 0, number]
    address = [10, 0, 0, number]
  }
}

/// The Internet checksum of some bytes (RFC 1071), before its complement.
func sum(_ bytes: some Collection<UInt8>, _ start: UInt32 = 0) -> UInt32 {
  var total = start
  var high = true
  for byte in bytes {
    total += high ? UInt32(byte) << 8 : UInt32(byte)
    high.toggle()
    total = (total & 0xffff) + total >> 16
  }
  return total
}

private func words(_ values: Int...) -> [UInt8] {
  values.flatMap { [UInt8($0 >> 8 & 0xff), UInt8($0 & 0xff)] }
}

enum Packet {
  static let udp: UInt8 = 17
  static let tcp: UInt8 = 6

  /// The pseudo header's sum for a payload of that many bytes.
  static func pseudo(_ from: Station, _ to: Station, _ kind: UInt8, _ byteCount: Int) -> UInt32 {
    sum(from.address + to.address + [0, kind] + words(byteCount))
  }

  /// A frame with an IPv4 packet.
  static func ipv4(
    _ from: Station, to: Station, toMAC: [UInt8], _ kind: UInt8, _ payload: [UInt8]
  ) -> [UInt8] {
    var header: [UInt8] = [0x45, 0] + words(payload.count + 20, 1, 0x4000) + [64, kind, 0, 0]
    header += from.address + to.address
    header.replaceSubrange(10..<12, with: words(Int(~sum(header) & 0xffff)))
    return toMAC + from.mac + [8, 0] + header + payload
  }

  /// A UDP datagram in a frame. With `partial` the checksum is only begun, as a driver leaves it.
  static func datagram(
    _ from: Station, to: Station, toMAC: [UInt8], port: Int, _ payload: [UInt8], partial: Bool
  ) -> [UInt8] {
    var udp = words(4000, port, payload.count + 8, 0) + payload
    let pseudo = pseudo(from, to, Packet.udp, udp.count)
    let check = partial ? pseudo : ~sum(udp, pseudo) & 0xffff
    udp.replaceSubrange(6..<8, with: words(Int(check == 0 ? 0xffff : check)))
    return ipv4(from, to: to, toMAC: toMAC, Packet.udp, udp)
  }

  /// A TCP segment in a frame, its checksum begun.
  static func segment(
    _ from: Station, to: Station, toMAC: [UInt8], sequence: Int, _ payload: [UInt8]
  ) -> [UInt8] {
    var tcp = words(1000, 2000, sequence >> 16, sequence & 0xffff, 0, 1)
    tcp += [0x50, 0x10] + words(0xffff, 0, 0) + payload
    let pseudo = pseudo(from, to, Packet.tcp, tcp.count)
    tcp.replaceSubrange(16..<18, with: words(Int(pseudo)))
    return ipv4(from, to: to, toMAC: toMAC, Packet.tcp, tcp)
  }

  /// The answer to an ARP request, nil where the frame is no request for the station's address.
  static func arpReply(_ frame: [UInt8], from station: Station) -> [UInt8]? {
    guard frame.count >= 42, frame[12..<14] == [8, 6], frame[20..<22] == [0, 1],
      Array(frame[38..<42]) == station.address
    else { return nil }
    let asker = Array(frame[22..<32])
    return Array(asker[0..<6]) + station.mac + [8, 6, 0, 1, 8, 0, 6, 4, 0, 2] + station.mac
      + station.address + asker
  }

  /// Whether the frame holds an IPv4 packet of that kind.
  static func isIPv4(_ frame: [UInt8], _ kind: UInt8) -> Bool {
    frame.count >= 34 && frame[12..<14] == [8, 0] && frame[23] == kind
  }

  /// Whether the transport checksum of a frame with an IPv4 packet is right.
  static func isChecksumRight(_ frame: [UInt8]) -> Bool {
    let length = Int(frame[16]) << 8 | Int(frame[17])
    let payload = frame[34..<14 + length]
    let pseudo = sum(Array(frame[26..<34]) + [0, frame[23]] + words(payload.count))
    return sum(payload, pseudo) == 0xffff
  }
}
