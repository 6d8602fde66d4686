// SPDX-License-Identifier: Apache-2.0
//
// NetBed: a network device on one end of a socket pair, with one of its queues running; the test
// holds the other end of the pair, where frames look as on a tap: a header, then the frame, in one
// message.

import Backends
import Glibc
import HostTesting
import Linux
import Synchronization
import VirtioRing
import VirtioTesting

/// Two connected sockets that keep messages apart. Whoever takes an end closes it.
struct PacketPair {
  let device: Int32
  let host: Int32

  init(type: __socket_type = SOCK_SEQPACKET) throws {
    var pair: [Int32] = [-1, -1]
    let type = Int32(type.rawValue | SOCK_CLOEXEC.rawValue)
    guard unsafe socketpair(AF_UNIX, type, 0, &pair) == 0 else {
      throw Errno.current
    }
    device = pair[0]
    host = pair[1]
  }
}

/// The header of a frame as bytes.
struct RawHeader: Equatable {
  var flags: UInt8 = 0
  var gsoType: UInt8 = 0
  var headerLength: UInt16 = 0
  var gsoSize: UInt16 = 0
  var checksumStart: UInt16 = 0
  var checksumOffset: UInt16 = 0
  var bufferCount: UInt16 = 0

  func bytes(_ size: Int) -> [UInt8] {
    let words = [headerLength, gsoSize, checksumStart, checksumOffset, bufferCount]
    let all = [flags, gsoType] + words.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
    return Array(all.prefix(size))
  }

  init(
    flags: UInt8 = 0, gsoType: UInt8 = 0, headerLength: UInt16 = 0, gsoSize: UInt16 = 0,
    checksumStart: UInt16 = 0, checksumOffset: UInt16 = 0, bufferCount: UInt16 = 0
  ) {
    self.flags = flags
    self.gsoType = gsoType
    self.headerLength = headerLength
    self.gsoSize = gsoSize
    self.checksumStart = checksumStart
    self.checksumOffset = checksumOffset
    self.bufferCount = bufferCount
  }

  init(_ bytes: some Collection<UInt8>) {
    let bytes = Array(bytes)
    func word(_ at: Int) -> UInt16 {
      at + 1 < bytes.count ? UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 : 0
    }
    self.init(
      flags: bytes[0], gsoType: bytes[1], headerLength: word(2), gsoSize: word(4),
      checksumStart: word(6), checksumOffset: word(8), bufferCount: word(10))
  }
}

/// An Ethernet frame whose bytes can be told apart from those of any other.
func frame(_ byteCount: Int, seed: UInt8 = 1) -> [UInt8] {
  var state = UInt32(seed) &* 2_654_435_761 | 1
  return (0..<byteCount).map { _ in
    state ^= state << 13
    state ^= state >> 17
    state ^= state << 5
    return UInt8(truncatingIfNeeded: state)
  }
}

final class NetBed {
  static let receive = 0
  static let transmit = 1

  let device: NetDevice
  let queue: QueueBed
  let host: FileDescriptor
  let headerSize: Int
  let statistics: QueueStatistics
  let log = LineCollector()

  /// - Parameters:
  ///   - features: the device's own that the driver accepts, and those of rings.
  ///   - isPatient: whether the device waits for as long as it takes.
  init(
    _ index: Int, _ format: QueueFormat = .split, size: UInt16 = 64,
    features: Features = [.indirectDescriptors, .eventIndex], pair: PacketPair? = nil,
    name: String = "net0", byteCount: UInt64 = 0x40_0000, started: Bool = true,
    isPatient: Bool = false
  ) throws {
    let pair = try pair ?? PacketPair()
    host = FileDescriptor(owning: pair.host)
    try host.setNonBlocking(true)
    var options = NetOptions(tap: .fd(pair.device))
    options.onTrouble = log.hook
    if isPatient {
      // Long enough on the busiest machine.
      options.bufferPatience = soon
      options.tapPatience = soon
    }
    device = try NetDevice(name: name, options: options)
    let accepted = features.union(format.features)
    device.driverAccepted(accepted)
    headerSize = accepted.isDisjoint(with: [.version1, .netMergeBuffers]) ? 10 : 12
    statistics = device.statistics[index]
    queue = try QueueBed(
      device, index: index, format, size: size, features: features, byteCount: byteCount,
      started: started)
  }

  // MARK: The driver

  /// Offers a frame in one buffer.
  func send(_ header: RawHeader, _ frame: [UInt8], token: UInt64 = 0) -> Bool {
    queue.offer(header.bytes(headerSize) + frame, token: token)
  }

  /// Offers a frame with an empty header.
  func send(_ frame: [UInt8], token: UInt64 = 0) -> Bool {
    send(RawHeader(), frame, token: token)
  }

  /// Offers one receive buffer. - Returns: its address.
  func offerBuffer(_ byteCount: UInt32, token: UInt64 = 0) -> UInt64? {
    let address = queue.space.take(UInt64(byteCount))
    return queue.offer([.writable(address, byteCount)], token: token) ? address : nil
  }

  /// What the device wrote to a buffer.
  func read(_ address: UInt64, _ written: UInt32) -> (header: RawHeader, frame: [UInt8]) {
    let bytes = queue.memory.bytes(at: address, count: Int(written))
    return (RawHeader(bytes.prefix(headerSize)), Array(bytes.dropFirst(headerSize)))
  }

  // MARK: The host

  /// Gives the device a frame.
  func hostSend(_ header: RawHeader, _ frame: [UInt8]) throws {
    _ = try host.write(header.bytes(headerSize) + frame)
  }

  /// Gives the device a frame with an empty header.
  func hostSend(_ frame: [UInt8]) throws { try hostSend(RawHeader(), frame) }

  /// How much of what the device was given it has not read yet.
  var unreadBytes: Int32 {
    var count: Int32 = 0
    // SAFETY: SIOCOUTQ (unix(7)) fills an int.
    return unsafe ioctl(host.raw, UInt(TIOCOUTQ), &count) == 0 ? count : -1
  }

  /// Takes a frame from the device; nil where none comes in time.
  func hostReceive(within time: Duration = soon) throws -> (header: RawHeader, frame: [UInt8])? {
    guard try !Poll.wait(for: .readable, on: host, timeout: time).isEmpty else { return nil }
    let bytes = try host.read(upTo: 0x2_0000)
    return (RawHeader(bytes.prefix(headerSize)), Array(bytes.dropFirst(headerSize)))
  }

  // MARK: Counters

  var errors: UInt64 { statistics.errors }
  var dropped: UInt64 { statistics.dropped }
  var chains: UInt64 { statistics.chains }
  var bytes: UInt64 { statistics.bytes }
  var calls: UInt64 { statistics.calls }
}

/// A count that two threads of a test share.
final class SharedCounter: Sendable {
  let value = Atomic<Int>(0)
}
