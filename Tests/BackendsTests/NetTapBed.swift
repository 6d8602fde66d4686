// SPDX-License-Identifier: Apache-2.0
//
// NetTapBed: both queues of a network device on a real tap, in a network that nobody else sees,
// with the test as the guest.

import Backends
import Glibc
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

/// Makes a device whose tap may have been another's just before: it is busy until no program that starts has it
/// any more.
func netDevice(name: String = "net0", _ options: NetOptions) throws(DeviceError) -> NetDevice {
  let end = ContinuousClock.now + soon
  while true {
    do {
      return try NetDevice(name: name, options: options)
    } catch {
      guard isBusy(error), ContinuousClock.now < end else { throw error }
    }
    pause(.milliseconds(1))
  }
}

/// Whether a device could not be made since its tap is open.
func isBusy(_ error: DeviceError) -> Bool {
  error.description.contains("another program has it open")
}

/// A frame as a guest gets it.
struct GuestFrame {
  let header: RawHeader
  let frame: [UInt8]
}

final class NetTapBed {
  let device: NetDevice
  let receive: QueueBed
  let transmit: QueueBed
  let headerSize: Int
  let station: Station
  private let merge: Bool
  private let bufferSize: UInt32

  /// - Parameter features: the device's own that the guest accepts.
  init(
    _ options: NetOptions, _ format: QueueFormat = .split, features: Features = [],
    station: Station = Station(2), name: String = "net0"
  ) throws {
    device = try netDevice(name: name, options)
    device.interfaceName.map { NetworkInterface($0).waitForNeighbours() }
    self.station = station
    let accepted = features.union(format.features)
    #expect(device.offeredFeatures.isSuperset(of: accepted))
    device.driverAccepted(accepted)
    merge = features.contains(.netMergeBuffers)
    headerSize = accepted.isDisjoint(with: [.version1, .netMergeBuffers]) ? 10 : 12
    bufferSize = merge ? 1536 : 65_600
    receive = try QueueBed(device, index: 0, format, size: 64, byteCount: 0x200_0000)
    transmit = try QueueBed(device, index: 1, format, size: 64, byteCount: 0x100_0000)
    for _ in 0..<64 { #expect(offerBuffer(receive.space.take(UInt64(bufferSize)))) }
  }

  private func offerBuffer(_ address: UInt64) -> Bool {
    receive.offer([.writable(address, bufferSize)], token: address)
  }

  func send(_ frame: [UInt8], _ header: RawHeader = RawHeader()) throws {
    #expect(transmit.offer(header.bytes(headerSize) + frame))
    #expect(try transmit.awaitUsed() != nil)
  }

  /// The next frame, whatever it is; nil where none comes in time.
  func next(within time: Duration = soon) throws -> GuestFrame? {
    guard let first = try receive.awaitUsed(within: time) else { return nil }
    var bytes = receive.memory.bytes(at: first.token, count: Int(first.written))
    let header = RawHeader(bytes.prefix(headerSize))
    var tokens = [first.token]
    if merge {
      for _ in 1..<max(1, Int(header.bufferCount)) {
        let more = try #require(try receive.collect())
        bytes += receive.memory.bytes(at: more.token, count: Int(more.written))
        tokens.append(more.token)
      }
    }
    for token in tokens { #expect(offerBuffer(token)) }
    return GuestFrame(header: header, frame: Array(bytes.dropFirst(headerSize)))
  }

  /// The next frame with an IPv4 packet of a kind for this station; answers ARP on the way.
  func next(_ kind: UInt8) throws -> GuestFrame? {
    let end = ContinuousClock.now + soon
    while ContinuousClock.now < end, let got = try next() {
      if let reply = Packet.arpReply(got.frame, from: station) { try send(reply) }
      if Packet.isIPv4(got.frame, kind), Array(got.frame[30..<34]) == station.address {
        return got
      }
    }
    return nil
  }

  func stop() {
    receive.stop()
    transmit.stop()
  }
}

/// A UDP socket of the host.
struct HostSocket: ~Copyable {
  let socket: FileDescriptor

  /// Bound to a port of any address.
  init(port: UInt16) throws {
    let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
    socket = FileDescriptor(owning: Glibc.socket(AF_INET, type, 0))
    var size: Int32 = 1 << 20
    #expect(unsafe setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUF, &size, 4) == 0)
    var address = Self.address([0, 0, 0, 0], port)
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(socket.raw, $0, 16)
      }
    }
    guard result == 0 else { throw Errno.current }
  }

  private static func address(_ bytes: [UInt8], _ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = bytes.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }.bigEndian
    return address
  }

  func send(_ bytes: [UInt8], to station: Station, port: UInt16) throws {
    var address = Self.address(station.address, port)
    let count = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe sendto(socket.raw, bytes, bytes.count, 0, $0, 16)
      }
    }
    guard count == bytes.count else { throw Errno.current }
  }

  /// The next datagram; nil where none comes in time.
  func receive() throws -> [UInt8]? {
    guard try !Poll.wait(for: .readable, on: socket, timeout: soon).isEmpty else { return nil }
    return try socket.read(upTo: 65_536)
  }
}

/// Removes an interface of this thread's network, whoever uses it (RTM_DELLINK of rtnetlink(7)).
func removeInterface(_ name: String) throws {
  let index = UInt32(bitPattern: try NetworkInterface(name).index())
  let type = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue)
  let route = FileDescriptor(owning: Glibc.socket(AF_NETLINK, type, 0))
  func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> ($0 * 8) & 0xff) } }
  // struct nlmsghdr: length, type 17 with flags REQUEST and ACK, number, port. struct ifinfomsg.
  let message = word(32) + word(17 | 5 << 16) + word(1) + word(0)
  _ = try route.write(message + word(0) + word(index) + word(0) + word(0))
  // struct nlmsgerr behind its header: the error, 0 for none.
  let answer = try route.read(upTo: 1024)
  guard answer.count >= 20, answer[16..<20] == [0, 0, 0, 0] else { throw Errno.io }
}
