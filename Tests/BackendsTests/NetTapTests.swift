// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

private let everything: Features = [
  .netChecksum, .netGuestChecksum, .netGuestTSO4, .netGuestTSO6, .netGuestECN, .netGuestUFO,
  .netHostTSO4, .netHostTSO6, .netHostECN, .netHostUFO,
]

private let host = Station(1)

private func options(_ tap: String? = "tap0", address: Bool = true) -> NetOptions {
  var options = NetOptions(tap: .create(tap))
  if address { options.address = IPv4Prefix("10.0.0.1/24") }
  return options
}

/// What making a device fails with. - Parameter wasOpen: whether its tap was another's just before.
private func failure(_ options: NetOptions, wasOpen: Bool = false) -> String? {
  do throws(DeviceError) {
    _ =
      wasOpen
      ? try netDevice(options) : try NetDevice(name: "net0", options: options)
    return nil
  } catch {
    return error.description
  }
}

@Suite("A network device's tap", .timeLimit(.minutes(20)))
struct NetTapTests {
  @Test("is made, set up and switched on, and vanishes with the device")
  func lifetime() throws {
    try inNewNetwork {
      let interface = NetworkInterface("lg0")
      do {
        var options = options("lg0")
        options.mtu = 9000
        let device = try NetDevice(name: "net0", options: options)
        #expect(device.interfaceName == "lg0")
        #expect(try interface.isUp())
        #expect(try interface.hasCarrier())
        #expect(try interface.mtu() == 9000)
        #expect(try interface.address() == IPv4Prefix("10.0.0.1/24"))
        #expect(device.isLinkUp)
      }
      #expect(interface.isGone)
    }
  }

  @Test("is named by the kernel where the user does not care")
  func unnamed() throws {
    try inNewNetwork {
      let first = try NetDevice(name: "net0", options: options(nil, address: false))
      let second = try NetDevice(name: "net1", options: options(nil, address: false))
      #expect(first.interfaceName == "tap0")
      #expect(second.interfaceName == "tap1")
    }
  }

  @Test("that exists is opened by its name and stays")
  func existing() throws {
    try inNewNetwork {
      try Tap.open(name: "kept", flags: [.tap, .noPacketInformation]).setPersistent(true)
      let bed = try NetTapBed(options("kept"))
      let socket = try HostSocket(port: 7)
      try socket.send([1, 2, 3], to: bed.station, port: 9)
      #expect(try bed.next(Packet.udp)?.frame.suffix(3) == [1, 2, 3])
      bed.stop()
      try Tap(adopting: bed.device.tap.duplicate()).setPersistent(true)
      #expect(NetworkInterface("kept").exists)
    }
  }

  @Test("is put on a bridge, once or again")
  func bridge() throws {
    try inNewNetwork {
      try NetworkInterface("br0").createBridge()
      try NetworkInterface("br1").createBridge()
      try Tap.open(name: "kept").setPersistent(true)
      var options = options("kept", address: false)
      options.bridge = "br0"
      for _ in 0..<2 { _ = try netDevice(options) }
      #expect(throws: Errno.busy) {
        try NetworkInterface("kept").add(toBridge: NetworkInterface("br1"))
      }
      options.bridge = "br1"
      #expect(
        failure(options, wasOpen: true)
          == "cannot put kept on bridge br1: it is on another bridge; take it off with "
          + "'ip link set kept nomaster'")
      options.bridge = "lo"
      #expect(
        failure(options, wasOpen: true)
          == "cannot put kept on bridge lo: that interface is no bridge")
    }
  }

  @Test("is not made where its bridge is missing")
  func missingBridge() throws {
    try inNewNetwork {
      var options = options("lg0")
      options.bridge = "br7"
      #expect(
        failure(options)
          == "cannot put lg0 on bridge br7: there is no such bridge; make it with "
          + "'ip link add br7 type bridge'")
      #expect(NetworkInterface("lg0").isGone)
    }
  }

  @Test("that cannot be had is refused in one line that says what to do")
  func refusals() throws {
    try inNewNetwork {
      let device = try NetDevice(name: "net0", options: options("lg0"))
      #expect(
        failure(options("lg0"))
          == "cannot open tap lg0: another program has it open; choose another name, or end that "
          + "program")
      #expect(device.isLinkUp)
      #expect(
        failure(options("lo"))
          == "cannot open tap lo: there is an interface of that name which is no tap, or one of "
          + "several queues; choose another name")
      for name in ["", "a/b", "sixteen-bytes-xx", "a b", ".", "a:b"] {
        #expect(
          failure(options(name))
            == "cannot open tap '\(name)': an interface's name has 1 to 15 bytes, without '/', "
            + "':' and white space")
      }
      for mtu in [0, 67, 65_522, -1] {
        var options = options("lg1")
        options.mtu = mtu
        #expect(failure(options) == "cannot make net0: an MTU has 68 to 65521 bytes, not \(mtu)")
        #expect(NetworkInterface("lg1").isGone)
      }
    }
  }

  @Test("says what to do where there is no /dev/net/tun or no right")
  func reasons() {
    #expect(TapSetup.reason(.notFound, name: "tap0").contains("modprobe tun"))
    #expect(TapSetup.reason(.noSuchDevice, name: "tap0").contains("modprobe tun"))
    #expect(TapSetup.reason(.accessDenied, name: "tap0").contains("/dev/net/tun"))
    #expect(TapSetup.reason(.permission, name: "tap7").contains("ip tuntap add dev tap7"))
    #expect(TapSetup.reason(.tooManyOpenFiles, name: "tap0") == "Too many open files")
  }

  @Test("that was used before, with long headers, serves a driver that accepts nothing")
  func usedBefore() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "used")
      try tap.setHeaderSize(12)
      var given = options(address: true)
      given.tap = .fd(try tap.descriptor.duplicate().release())
      let device = try NetDevice(name: "net0", options: given)
      device.driverAccepted([])
      #expect(try tap.headerSize() == 10)
    }
  }

  @Test("can be handed over open; other descriptors are refused")
  func handedOver() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "given")
      var given = options(address: true)
      given.tap = .fd(try tap.descriptor.duplicate().release())
      let device = try NetDevice(name: "net0", options: given)
      #expect(device.interfaceName == "given")
      #expect(try tap.interface.address() == IPv4Prefix("10.0.0.1/24"))
      #expect(device.isLinkUp)

      func refusal(_ descriptor: consuming FileDescriptor) -> String? {
        // A number so high that no test beside this one is given it again.
        let number = fcntl(descriptor.raw, F_DUPFD_CLOEXEC, 900)
        #expect(number >= 900)
        let text = failure(NetOptions(tap: .fd(number)))
        #expect(fcntl(number, F_GETFD) == -1, "it is closed, as it was given away")
        return text?.replacing("\(number)", with: "N")
      }
      let bare = try Tap.open(name: "bare", flags: [.tap, .noPacketInformation])
      #expect(
        refusal(try bare.descriptor.duplicate())
          == "cannot use file descriptor N for net0: bare is no tap opened with IFF_TAP, IFF_NO_PI "
          + "and IFF_VNET_HDR")
      #expect(
        refusal(try FileDescriptor.open("/dev/net/tun", .readWrite))
          == "cannot use file descriptor N for net0: it is /dev/net/tun without an interface")
      #expect(
        refusal(try FileDescriptor.open("/dev/null", .readWrite))
          == "cannot use file descriptor N for net0: it is neither a tap nor a socket")
      let stream = try PacketPair(type: SOCK_STREAM)
      close(stream.host)
      #expect(
        refusal(FileDescriptor(owning: stream.device))
          == "cannot use file descriptor N for net0: a stream socket does not keep frames apart")
    }
  }

  @Test("leaves nothing open behind")
  func descriptors() throws {
    try inNewNetwork {
      // Other tests open and close theirs meanwhile, so one round without growth is enough.
      var growth = Int.max
      for _ in 0..<20 where growth > 0 {
        let before = try Process.openDescriptorCount()
        for _ in 0..<3 {
          let device = try netDevice(options("lg0"))
          let receive = try QueueBed(device, index: 0, byteCount: 4096)
          let transmit = try QueueBed(device, index: 1, byteCount: 4096)
          receive.stop()
          transmit.stop()
        }
        growth = try Process.openDescriptorCount() - before
      }
      #expect(growth <= 0)
    }
  }

  @Test("gives and takes packets of the host's own stack", arguments: QueueFormat.allCases)
  func bothWays(format: QueueFormat) throws {
    try inNewNetwork {
      for features in [[], everything, everything.union(.netMergeBuffers)] as [Features] {
        let bed = try NetTapBed(options(), format, features: features)
        let mac = try NetworkInterface("tap0").hardwareAddress()
        let socket = try HostSocket(port: 7)
        for size in [1, 100, 1400] {
          let payload = frame(size, seed: UInt8(truncatingIfNeeded: size))
          try socket.send(payload, to: bed.station, port: 9)
          let got = try #require(try bed.next(Packet.udp))
          #expect(got.frame.suffix(size) == payload[...])
          if features.contains(.netGuestChecksum) {
            // The host's own datagrams come with their checksum begun.
            #expect(got.header.flags == 1)
            #expect(got.header.checksumStart == 34)
            #expect(got.header.checksumOffset == 6)
          } else {
            #expect(got.header.flags == 0)
            #expect(Packet.isChecksumRight(got.frame))
          }
          let partial = features.contains(.netChecksum)
          try bed.send(
            Packet.datagram(
              bed.station, to: host, toMAC: mac, port: 7, payload, partial: partial),
            partial ? RawHeader(flags: 1, checksumStart: 34, checksumOffset: 6) : RawHeader())
          #expect(try socket.receive() == payload)
        }
      }
    }
  }

  @Test("drops what the driver must not send, and takes the next frame")
  func hostile() throws {
    try inNewNetwork {
      let bed = try NetTapBed(options(), features: everything)
      let mac = try NetworkInterface("tap0").hardwareAddress()
      let socket = try HostSocket(port: 7)
      let good = Packet.datagram(bed.station, to: host, toMAC: mac, port: 7, [1], partial: false)
      for header in [
        RawHeader(flags: 1, checksumStart: 0xffff, checksumOffset: 0xffff),
        RawHeader(gsoType: 1, gsoSize: 0), RawHeader(gsoType: 0x42, gsoSize: 100),
      ] {
        try bed.send(good, header)
      }
      // Passes our checks; the kernel finds that it is no TCP segment, or lets it through.
      try bed.send(good, RawHeader(flags: 1, gsoType: 1, gsoSize: 1, checksumStart: 20))
      try bed.send([1, 2, 3])
      let sent = Packet.datagram(bed.station, to: host, toMAC: mac, port: 7, [2], partial: false)
      try bed.send(sent)
      var received: [UInt8]?
      repeat { received = try socket.receive() } while received == [1]
      #expect(received == [2])
      #expect(bed.device.statistics[1].errors == 4)
    }
  }

  @Test("a datagram of 60000 bytes goes to the host in one piece (UFO)")
  func ufo() throws {
    try inNewNetwork {
      let bed = try NetTapBed(options(), features: everything)
      let mac = try NetworkInterface("tap0").hardwareAddress()
      let socket = try HostSocket(port: 7)
      let payload = frame(60_000, seed: 3)
      try bed.send(
        Packet.datagram(bed.station, to: host, toMAC: mac, port: 7, payload, partial: true),
        RawHeader(
          flags: 1, gsoType: 3, headerLength: 42, gsoSize: 1480, checksumStart: 34,
          checksumOffset: 6))
      #expect(try socket.receive() == payload)
    }
  }

  @Test(
    "a TCP segment of 64 KiB goes from a guest through the host to another guest, byte for byte",
    arguments: QueueFormat.allCases, [false, true])
  func tso(format: QueueFormat, merge: Bool) throws {
    try inNewNetwork {
      let pair = try TwoGuests(
        format, features: merge ? everything.union(.netMergeBuffers) : everything)
      let payload = frame(65_480, seed: 5)
      for round in 0..<10 {
        let sequence = 1 + round * payload.count
        let sent = try pair.send(payload, sequence: sequence)
        let got = try #require(try pair.second.next(Packet.tcp))
        #expect(got.frame == sent)
        #expect(got.header.flags == 1)
        #expect(got.header.gsoType == 1)
        #expect(got.header.gsoSize == 1448)
        #expect(got.header.checksumStart == 34)
        #expect(got.header.checksumOffset == 16)
      }
      #expect(pair.second.device.statistics[0].dropped == 0)
    }
  }

  @Test("a guest without TSO gets the segment in packets that fit the link, summed by the host")
  func noTSO() throws {
    try inNewNetwork {
      let pair = try TwoGuests(.split, features: everything, second: [])
      let payload = frame(60_000, seed: 6)
      _ = try pair.send(payload, sequence: 1000)
      var got: [UInt8] = []
      while got.count < payload.count {
        let packet = try #require(try pair.second.next(Packet.tcp))
        #expect(packet.header == RawHeader(bufferCount: 1))
        #expect(packet.frame.count <= 1514)
        #expect(Packet.isChecksumRight(packet.frame))
        let sequence = packet.frame[38..<42].reduce(0) { $0 << 8 | Int($1) }
        #expect(sequence == 1000 + got.count)
        got += packet.frame[54...]
      }
      #expect(got == payload)
    }
  }

  @Test("the header's size follows the driver, also a legacy one after a modern one")
  func headerSize() throws {
    try inNewNetwork {
      let device = try NetDevice(name: "net0", options: options())
      let tap = try Tap(adopting: device.tap.duplicate())
      for (features, size) in [
        (Features.version1, 12), ([], 10), (.netMergeBuffers, 12), (.netGuestChecksum, 10),
      ] as [(Features, Int)] {
        device.driverAccepted(features)
        #expect(try tap.headerSize() == size)
        device.reset()
        #expect(try tap.headerSize() == 10)
      }
    }
  }

  @Test("switched off and on by the administrator takes the link down and up")
  func administration() throws {
    try inNewNetwork {
      let bed = try NetTapBed(options())
      let counter = SharedCounter()
      bed.device.configurationChange.observe { counter.value.add(1, ordering: .relaxed) }
      let interface = NetworkInterface("tap0")
      try interface.setUp(false)
      #expect(eventually { counter.value.load(ordering: .relaxed) == 1 })
      #expect(!bed.device.isLinkUp)
      #expect(bed.device.configuration()[6] == 0)
      // Frames meanwhile are lost, the queue is not.
      try bed.send(frame(60))
      #expect(bed.device.statistics[1].dropped == 1)
      try interface.setUp()
      #expect(eventually { counter.value.load(ordering: .relaxed) == 2 })
      #expect(bed.device.isLinkUp)
      let socket = try HostSocket(port: 7)
      try socket.send([9], to: bed.station, port: 9)
      #expect(try bed.next(Packet.udp)?.frame.suffix(1) == [9])
    }
  }

  @Test("that an administrator has not switched on yet gives a link that is down")
  func notUpYet() throws {
    try inNewNetwork {
      let device = try NetDevice(name: "net0", options: options("lg0", address: false))
      #expect(device.isLinkUp)
      try NetworkInterface("lg0").setUp(false)
      let tap = try Tap(adopting: device.tap.duplicate())
      let link = NetLink(change: ChangeSignal()) {}
      let monitor = try LinkMonitor(name: "net0", tap: tap.descriptor.duplicate(), link: link)
      #expect(!link.isUp)
      try NetworkInterface("lg0").setUp()
      #expect(eventually { link.isUp })
      withExtendedLifetime(monitor) {}
    }
  }

  @Test("that is removed under the device takes the link down, and the queues live on")
  func removed() throws {
    try inNewNetwork {
      let log = LineCollector()
      var options = options()
      options.onTrouble = log.hook
      let bed = try NetTapBed(options, name: "lost0")
      let counter = SharedCounter()
      bed.device.configurationChange.observe { counter.value.add(1, ordering: .relaxed) }
      try removeInterface("tap0")
      #expect(eventually { counter.value.load(ordering: .relaxed) == 1 })
      #expect(!bed.device.isLinkUp)
      for _ in 0..<10 { try bed.send(frame(60)) }
      #expect(try isAsleep(threads: "lost0-rx"))
      bed.stop()
      #expect(bed.receive.inFlightCount == 0)
      // Once, whoever has found it and however much the driver sends.
      #expect(counter.value.load(ordering: .relaxed) == 1)
      #expect(log.lines.count == 1 && log.lines[0].hasPrefix("lost0: the host's interface is gone"))
    }
  }
}

/// Two guests on taps of one bridge.
private struct TwoGuests {
  let first: NetTapBed
  let second: NetTapBed

  init(_ format: QueueFormat, features: Features, second: Features? = nil) throws {
    let bridge = NetworkInterface("br0")
    try bridge.createBridge()
    try bridge.setUp()
    var first = options("tap0", address: false)
    first.bridge = "br0"
    self.first = try NetTapBed(first, format, features: features, station: Station(2))
    var other = options("tap1", address: false)
    other.bridge = "br0"
    self.second = try NetTapBed(
      other, format, features: second ?? features, station: Station(3), name: "net1")
  }

  /// Sends a segment from the first to the second guest. - Returns: its frame.
  func send(_ payload: [UInt8], sequence: Int) throws -> [UInt8] {
    let frame = Packet.segment(
      first.station, to: second.station, toMAC: second.station.mac, sequence: sequence, payload)
    try first.send(
      frame,
      RawHeader(
        flags: 1, gsoType: 1, headerLength: 54, gsoSize: 1448, checksumStart: 34,
        checksumOffset: 16))
    return frame
  }
}
