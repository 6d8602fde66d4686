// SPDX-License-Identifier: Apache-2.0
//
// Taps, interfaces and bridges, each test in a network of its own: nothing outside is seen or touched.

import Glibc
import HostTesting
import Testing

@testable import Linux

/// Reads frames until one is of the type, and returns it with the header before it, 12 bytes.
private func readFrame(_ tap: borrowing Tap, type: UInt16) throws -> [UInt8] {
  while true {
    let found = try Poll.wait(for: .readable, on: tap.descriptor, timeout: soon)
    try #require(found == .readable)
    let frame = try tap.descriptor.read(upTo: 65536)
    if frame.count >= 26, UInt16(frame[24]) << 8 | UInt16(frame[25]) == type { return frame }
  }
}

@Suite(.timeLimit(.minutes(20))) struct NetworkTests {
  @Test func newTapIsAnInterfaceThatGoesWithItsOwner() throws {
    try inNewNetwork {
      let interface = NetworkInterface("lgtap0")
      #expect(!interface.exists)
      do {
        let tap = try Tap.open(name: "lgtap0")
        #expect(tap.name == "lgtap0")
        #expect(tap.interface.exists)
        #expect(fcntl(tap.descriptor.raw, F_GETFD) & FD_CLOEXEC != 0)
        let unnamed = try Tap.open()
        #expect(unnamed.name == "tap0")
      }
      #expect(interface.isGone)
      #expect(throws: Errno.noSuchDevice) { _ = try interface.index() }
    }
  }

  @Test func frameThatTheKernelSendsArrivesBehindItsHeader() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "lgtap0")
      try tap.setHeaderSize(12)
      #expect(try tap.headerSize() == 12)
      try tap.interface.setHardwareAddress([2, 0, 0, 0, 0, 1])
      try tap.interface.setAddress(try #require(IPv4Prefix("10.9.8.1/24")))
      try tap.interface.setUp()
      tap.interface.waitForNeighbours()
      // A datagram to a neighbour makes the kernel ask for it first.
      try sendDatagram(to: 0x0a09_0802)
      let frame = try readFrame(tap, type: 0x0806)
      // No offloads were asked for, so the header says nothing.
      #expect(frame[0..<10].allSatisfy { $0 == 0 })
      #expect(Array(frame[12..<18]) == [255, 255, 255, 255, 255, 255])
      #expect(Array(frame[18..<24]) == [2, 0, 0, 0, 0, 1])
      // The target of an ARP request is its last four bytes of 28.
      #expect(Array(frame[50..<54]) == [10, 9, 8, 2])

      // The answer comes back as a frame that is written.
      var answer = [UInt8](repeating: 0, count: 12) + frame[18..<24] + [2, 0, 0, 0, 0, 2] + [8, 6]
      answer += [0, 1, 8, 0, 6, 4, 0, 2] + [2, 0, 0, 0, 0, 2] + [10, 9, 8, 2]
      answer += frame[18..<24] + [10, 9, 8, 1]
      #expect(try tap.descriptor.write(answer) == answer.count)
      // The datagram itself follows, to the neighbour that is known now.
      let datagram = try readFrame(tap, type: 0x0800)
      #expect(Array(datagram[12..<18]) == [2, 0, 0, 0, 0, 2])
      #expect(datagram.suffix(3) == [7, 7, 7])
    }
  }

  @Test func tapThatIsOpenElsewhereIsBusyUnlessItHasSeveralQueues() throws {
    try inNewNetwork {
      let single = try Tap.open(name: "one")
      #expect(throws: Errno.busy) { _ = try Tap.open(name: "one") }
      let flags: TapFlags = [.tap, .noPacketInformation, .virtioHeader, .multiQueue]
      #expect(throws: Errno.invalidArgument) { _ = try Tap.open(name: "one", flags: flags) }
      let first = try Tap.open(name: "many", flags: flags)
      let second = try Tap.open(name: "many", flags: flags)
      #expect(first.name == second.name)
      #expect(single.name == "one")
    }
  }

  @Test func tapThatIsHandedOverTellsItsNameAndFlags() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "given")
      let same = try Tap(adopting: tap.descriptor.duplicate())
      #expect(same.name == "given")
      #expect(same.flags.isSuperset(of: [.tap, .noPacketInformation, .virtioHeader]))
      #expect(same.flags.contains(.multiQueue) == false)
      #expect(throws: Errno.inappropriateIoctl) {
        _ = try Tap(adopting: Memfd.create(name: "no-tap", size: 0))
      }
      #expect(throws: Errno.badDescriptorState) {
        // A tap device that no interface was attached to.
        _ = try Tap(adopting: FileDescriptor.open("/dev/net/tun", .readWrite))
      }
    }
  }

  @Test func offloadsAreAcceptedInSetsThatMakeSense() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "offload")
      try tap.setOffloads([.checksum, .tso4, .tso6, .ecn, .ufo])
      try tap.setOffloads([.checksum])
      try tap.setOffloads([])
      #expect(throws: Errno.invalidArgument) {
        try tap.setOffloads(TapOffloads(rawValue: 1 << 31))
      }
      #expect(throws: Errno.invalidArgument) { try tap.setHeaderSize(9) }
      #expect(throws: Errno.invalidArgument) { try tap.setHeaderSize(.max) }
    }
  }

  @Test func persistentTapStaysUntilItIsNoLongerOne() throws {
    try inNewNetwork {
      try keepTap("kept", persistent: true)
      #expect(NetworkInterface("kept").exists)
      try keepTap("kept", persistent: false)
      #expect(NetworkInterface("kept").isGone)
    }
  }

  @Test func namesThatNoInterfaceCanHaveAreRefused() throws {
    for name in ["", "sixteen-bytes-xx", "a/b", "nul\0"] {
      #expect(throws: Errno.invalidArgument) { _ = try Tap.open(name: name) }
      #expect(throws: Errno.invalidArgument) { _ = try NetworkInterface(name).index() }
      #expect(!NetworkInterface(name).exists)
    }
  }

  @Test func interfaceIsReadAndSet() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "lgtap0")
      let interface = tap.interface
      #expect(try interface.index() > 0)
      #expect(try !interface.isUp())
      #expect(try !interface.hasCarrier())
      try interface.setUp()
      #expect(try interface.isUp())
      #expect(try interface.hasCarrier())
      try interface.setUp(false)
      #expect(try !interface.isUp())

      #expect(try interface.mtu() == 1500)
      try interface.setMTU(9000)
      #expect(try interface.mtu() == 9000)
      #expect(throws: Errno.invalidArgument) { try interface.setMTU(1) }
      #expect(throws: Errno.invalidArgument) { try interface.setMTU(.max) }

      try interface.setHardwareAddress([0x52, 0x54, 0, 1, 2, 3])
      #expect(try interface.hardwareAddress() == [0x52, 0x54, 0, 1, 2, 3])
      #expect(throws: Errno.invalidArgument) { try interface.setHardwareAddress([1, 2]) }
      #expect(throws: Errno.addressNotAvailable) {
        try interface.setHardwareAddress([1, 0, 0, 0, 0, 0])
      }

      #expect(try interface.address() == nil)
      let prefix = try #require(IPv4Prefix("192.168.77.1/20"))
      try interface.setAddress(prefix)
      #expect(try interface.address() == prefix)
    }
  }

  @Test func tapIsPutOnABridgeAndTakenOff() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "lgtap0")
      let bridge = NetworkInterface("lgbr0")
      #expect(throws: Errno.noSuchDevice) { try tap.interface.add(toBridge: bridge) }
      try bridge.createBridge()
      #expect(bridge.exists)
      try tap.interface.add(toBridge: bridge)
      #expect(throws: Errno.busy) { try tap.interface.add(toBridge: bridge) }
      try tap.interface.remove(fromBridge: bridge)
      #expect(throws: Errno.invalidArgument) { try tap.interface.remove(fromBridge: bridge) }
      #expect(throws: Errno.notSupported) { try bridge.add(toBridge: tap.interface) }
      try bridge.removeBridge()
      #expect(!bridge.exists)
    }
  }

  @Test func prefixesAreReadStrictly() {
    #expect(IPv4Prefix("192.168.7.1/24") == IPv4Prefix(address: 0xc0a8_0701, length: 24))
    #expect(IPv4Prefix("0.0.0.0/0")?.mask == 0)
    #expect(IPv4Prefix("10.0.0.255/8")?.mask == 0xff00_0000)
    #expect(IPv4Prefix("1.2.3.4/32")?.mask == 0xffff_ffff)
    #expect(IPv4Prefix("10.20.30.40/31")?.description == "10.20.30.40/31")
    for text in [
      "", "/", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0/8", "10.0.0.256/8", "10.0.0.1.2/8",
      "10..0.1/8", "+1.0.0.1/8", "01.0.0.1/8", "1.0.0.1/+8", "1.0.0.1/8/8", " 1.0.0.1/8",
      "a.b.c.d/8", "99999999999999999999.0.0.1/8", "::1/64",
    ] {
      #expect(IPv4Prefix(text) == nil, "\(text)")
    }
  }
}

private func keepTap(_ name: String, persistent: Bool) throws {
  // It is busy until its last descriptor is closed.
  try insisting(while: .busy) { try Tap.open(name: name) }.setPersistent(persistent)
}

private func sendDatagram(to address: UInt32) throws {
  let socket = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0))
  var target = sockaddr_in()
  target.sin_family = sa_family_t(AF_INET)
  target.sin_port = UInt16(9).bigEndian
  target.sin_addr.s_addr = address.bigEndian
  // SAFETY: pointers to locals during the call.
  let sent = unsafe withUnsafePointer(to: &target) { target in
    unsafe target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe sendto(socket.raw, [7, 7, 7] as [UInt8], 3, 0, $0, 16)
    }
  }
  try #require(sent == 3)
}
