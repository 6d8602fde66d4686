// SPDX-License-Identifier: Apache-2.0
//
// Rings: what starts and stops them, what they may be told while they run, and what breaks them.

import Backends
import HostTesting
import Linux
import Synchronization
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

@Suite(.timeLimit(.minutes(20))) struct VringTests {
  @Test(
    "a ring that the device does not have is refused, in full width",
    arguments: [2, 255, 256, 0x1_0000, 0x1_0001, 0xffff_ffff] as [UInt32])
  func indexOutOfRange(_ index: UInt32) throws {
    let bed = try ServerBed([EchoDevice(queues: 2)])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    let state = VringState(index: index, number: 1).bytes
    for request in [FrontEndRequest.setVringSize, .setVringBase, .setVringEnable] {
      #expect(throws: FrontEndError.refused) { try frontEnd.tell(request, state) }
    }
    let address = VringAddress(index: index, descriptors: 0, used: 0, available: 0)
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setVringAddress, address.bytes)
    }
    #expect(throws: FrontEndError.refused) {
      let event = try EventFD()
      try frontEnd.tell(
        .setVringKick, FrontEnd.bytes(UInt64(index)), descriptors: [event.descriptor.raw])
    }
    try frontEnd.raw.send(.getVringBase, VringState(index: index, number: 0).bytes)
    try frontEnd.raw.waitForClose()
  }

  @Test("sizes of 0 and above the device's are refused", arguments: [0, 257, 0x1_0000, 0x1_0040])
  func badSize(_ size: UInt32) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([])
    #expect(throws: FrontEndError.refused) {
      try frontEnd.tell(.setVringSize, VringState(index: 0, number: size).bytes)
    }
  }

  @Test("a split ring whose size is no power of two breaks that ring alone")
  func oddSize() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate([.version1])
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 64)
    try frontEnd.startRing(ring)
    _ = try frontEnd.stopRing(0)
    try frontEnd.tell(.setVringSize, VringState(index: 0, number: 63).bytes)
    try frontEnd.tell(.setVringKick, FrontEnd.bytes(0x100))
    #expect(bed.lines.contains("queue 0 is stopped: queue size out of range"))
    #expect(try frontEnd.askNumber(.getQueueCount) == 2)
  }

  @Test(
    "SET_VRING_BASE with nonsense breaks that ring alone, and a good one mends it",
    arguments: [(formats[0], 0x1_0000), (formats[1], 64)] as [(Features, UInt32)])
  func nonsenseBase(_ features: Features, _ base: UInt32) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(features)
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 64)
    let other = try EchoClient(frontEnd, features, queue: 1)
    try frontEnd.startRing(ring, base: base)
    #expect(bed.lines.contains("queue 0 is stopped: ring position out of range"))
    #expect(try other.echo([1, 2, 3]) == [1, 2, 3])
    _ = try frontEnd.stopRing(0)
    let mended = try EchoClient(frontEnd, features)
    #expect(try mended.echo([4]) == [4])
  }

  @Test("a kick that came before its descriptor was known is not lost", arguments: formats)
  func firstKick(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    for _ in 0..<20 {
      let frontEnd = try bed.frontEnd()
      try frontEnd.negotiate(features)
      try frontEnd.shareMemory()
      var ring = try frontEnd.makeRing(0, size: 16)
      let source = frontEnd.space.take(8)
      let target = frontEnd.space.take(8)
      frontEnd.memory.memory.write([1, 2, 3], at: source)
      let isOffered = ring.offer([.readable(source, 3), .writable(target, 3)])
      #expect(isOffered)
      // The kick is in the eventfd, and nobody will kick again.
      try frontEnd.startRing(ring)
      _ = try ring.collect()
      #expect(frontEnd.memory.memory.bytes(at: target, count: 3) == [1, 2, 3])
    }
  }

  @Test("a ring without a kick descriptor is polled", arguments: formats)
  func polled(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    try client.frontEnd.tell(.setVringKick, FrontEnd.bytes(0x100))
    for byte: UInt8 in 0..<20 { #expect(try client.echo([byte]) == [byte]) }
  }

  @Test("rings start enabled where protocol features are not known, and disabled where they are")
  func enabledOrNot() throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    do {
      let frontEnd = try bed.frontEnd()
      try frontEnd.negotiate(.allRing, protocolFeatures: nil)
      try frontEnd.shareMemory()
      // startRing does not enable where that cannot be told.
      let ring = try frontEnd.makeRing(0, size: 16)
      try frontEnd.startRing(ring)
      #expect(eventually { device.starts == 1 })
    }
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(.allRing)
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 16)
    try frontEnd.startRing(ring)
    try frontEnd.enableRing(0, false)
    #expect(device.starts == 2)
    try frontEnd.enableRing(0, true)
    #expect(device.starts == 3)
  }

  @Test("a disabled ring serves nothing, and goes on where it stood", arguments: formats)
  func disabled(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    for round: UInt8 in 0..<5 {
      #expect(try client.echo([round, 1]) == [round, 1])
      try client.frontEnd.enableRing(0, false)
      client.ring.patience = .milliseconds(20)
      #expect(throws: FrontEndError.timeout) { try client.echo([round, 2]) }
      client.ring.patience = soon
      try client.frontEnd.enableRing(0, true)
      _ = try client.ring.collect()
    }
  }

  @Test("GET_VRING_BASE stops a ring, and the next start goes on there", arguments: formats)
  func stopAndGoOn(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    // 64 entries, two for each chain: enough for several rounds of the ring.
    for round in 0..<100 {
      for byte in 0..<UInt8(round % 7) { #expect(try client.echo([byte]) == [byte]) }
      let base = try client.frontEnd.stopRing(0)
      try client.frontEnd.startRing(client.ring, base: base)
    }
  }

  @Test("a base of 0 starts a packed ring in its first round, as User-mode Linux says it")
  func packedBaseOfZero() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(.allRing)
    try frontEnd.shareMemory()
    let client = try EchoClient(frontEnd, .allRing, base: 0)
    #expect(try client.echo([5]) == [5])
  }

  @Test("a packed base with an empty upper half means the lower one, as DPDK says it")
  func packedBaseOfHalf() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    let client = try EchoClient(frontEnd, .allRing, base: 0x8000)
    #expect(try client.echo([5]) == [5])
  }

  @Test("calls go out over a socket pair, as User-mode Linux wants them", arguments: formats)
  func callOverSocket(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    let pair = try UnixSocket.pair()
    try client.frontEnd.tell(
      .setVringCall, FrontEnd.bytes(0), descriptors: [pair.second.raw])
    client.callsThrough(try pair.first.duplicate())
    for byte: UInt8 in 0..<100 { #expect(try client.echo([byte]) == [byte]) }
  }

  @Test("kicks and calls go over pipes", arguments: formats)
  func overPipes(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    let call = try Pipe(nonBlocking: false)
    let kick = try Pipe(nonBlocking: false)
    try client.frontEnd.tell(.setVringCall, FrontEnd.bytes(0), descriptors: [call.writing.raw])
    try client.frontEnd.tell(.setVringKick, FrontEnd.bytes(0), descriptors: [kick.reading.raw])
    client.callsThrough(try call.reading.duplicate())
    client.kicksThrough(try kick.writing.duplicate())
    for byte: UInt8 in 0..<100 { #expect(try client.echo([byte]) == [byte]) }
  }

  @Test(
    "a call descriptor that nobody reads, or whose other end is gone, does not hold up the ring",
    arguments: [true, false])
  func callUnheard(_ isOpen: Bool) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), [.version1])
    var pair: SocketPair? = try UnixSocket.pair()
    if let second = pair?.second.raw {
      try client.frontEnd.tell(.setVringCall, FrontEnd.bytes(0), descriptors: [second])
    }
    if !isOpen { pair = nil }
    // More than any socket buffer takes.
    for _ in 0..<1000 { try client.echoPolling([1]) }
    _ = try client.frontEnd.stopRing(0)
    _ = consume pair
  }

  /// Descriptors that take nothing more, and which make a write wait.
  enum FullDescriptor: CaseIterable {
    case pipe, socket, eventFD
  }

  @Test(
    "a front-end that makes its full call descriptor wait does not hold up the server",
    arguments: FullDescriptor.allCases)
  func callThatWaits(_ kind: FullDescriptor) throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    let other = try EchoClient(try bed.frontEnd(1))
    let client = try EchoClient(try bed.frontEnd(), [.version1])
    let pipe = try Pipe(nonBlocking: true)
    let pair = try UnixSocket.pair()
    let event = try EventFD()
    let raw =
      switch kind {
      case .pipe: pipe.writing.raw
      case .socket: pair.second.raw
      case .eventFD: event.descriptor.raw
      }
    let call = try FileDescriptor.duplicating(raw)
    try client.frontEnd.tell(.setVringCall, FrontEnd.bytes(0), descriptors: [call.raw])
    try client.frontEnd.tell(.setVringError, FrontEnd.bytes(0), descriptors: [call.raw])
    while try call.writeWord(kind == .eventFD ? UInt64.max - 1 : 1) {}
    try call.setNonBlocking(false)
    // The worker's call waits now.
    try client.offerOne()
    #expect(try other.echo([1]) == [1])
    let base = try client.frontEnd.stopRing(0)
    // And so does telling of a fault.
    try client.frontEnd.startRing(client.ring, base: base | 0x1_0000)
    #expect(try other.echo([2]) == [2])
    #expect(bed.stop())
  }

  @Test("everything about a ring may come again, in any order, while it runs", arguments: formats)
  func repeatedWhileRunning(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let client = try EchoClient(try bed.frontEnd(), features)
    let frontEnd = client.frontEnd
    for round: UInt8 in 0..<20 {
      try frontEnd.tell(.setOwner)
      try frontEnd.tell(.setVringSize, VringState(index: 0, number: 64).bytes)
      try frontEnd.tell(.setVringAddress, FrontEnd.address(of: client.ring).bytes)
      #expect(throws: FrontEndError.refused) {
        try frontEnd.tell(.setVringSize, VringState(index: 0, number: 32).bytes)
      }
      #expect(throws: FrontEndError.refused) {
        try frontEnd.tell(.setVringBase, VringState(index: 0, number: 0).bytes)
      }
      try frontEnd.tell(
        .setVringCall, FrontEnd.bytes(0), descriptors: [client.ring.call.descriptor.raw])
      try frontEnd.tell(
        .setVringKick, FrontEnd.bytes(0), descriptors: [client.ring.kick.descriptor.raw])
      try frontEnd.shareMemory()
      try frontEnd.enableRing(0, true)
      #expect(try client.echo([round]) == [round])
    }
  }

  @Test(
    "SET_VRING_CALL and SET_VRING_KICK are answered while a request hangs, and hold from then on",
    arguments: formats)
  func newDescriptorsWhileHanging(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd(), features)
    device.hang.set(true)
    defer { device.hang.set(false) }
    try client.offerOne()
    #expect(eventually { device.hang.isFelt })
    let kick = try EventFD()
    let call = try EventFD()
    for _ in 0..<10 {
      try client.frontEnd.tell(
        .setVringCall, FrontEnd.bytes(0), descriptors: [call.descriptor.raw])
      try client.frontEnd.tell(
        .setVringKick, FrontEnd.bytes(0), descriptors: [kick.descriptor.raw])
    }
    #expect(device.hang.isFelt)
    device.hang.set(false)
    let found = try Poll.wait(for: .readable, on: call.descriptor, timeout: soon)
    #expect(found == .readable)
    client.kicksThrough(try kick.descriptor.duplicate())
    client.callsThrough(try call.descriptor.duplicate())
    #expect(try eventually { try client.ring.driver.collect() != nil })
    for byte: UInt8 in 0..<10 { #expect(try client.echo([byte]) == [byte]) }
  }

  @Test("a ring that its driver breaks is told of, and a new start mends it", arguments: formats)
  func broken(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd(), features)
    let frontEnd = client.frontEnd
    let other = try EchoClient(frontEnd, features, queue: 1)
    let signal = try EventFD()
    try frontEnd.tell(.setVringError, FrontEnd.bytes(0), descriptors: [signal.descriptor.raw])
    try frontEnd.tell(.setStatus, FrontEnd.bytes(15))
    let isOffered = client.ring.offer([.readable(0xffff_ffff_ffff_0000, 16)])
    #expect(isOffered)
    let found = try Poll.wait(for: .readable, on: signal.descriptor, timeout: soon)
    #expect(found == .readable)
    #expect(try frontEnd.askNumber(.getStatus) == 15 | 64)
    #expect(
      bed.lines.contains("warning echo0: queue 0 is stopped: buffer outside guest memory"))
    #expect(try other.echo([9]) == [9])
    _ = try frontEnd.stopRing(0)
    let mended = try EchoClient(frontEnd, features)
    #expect(try mended.echo([4]) == [4])
  }

  @Test(
    "a ring that is started without memory is reported with what to do, and runs once there is some",
    arguments: formats)
  func noMemory(_ features: Features) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(features)
    let signal = try EventFD()
    try frontEnd.tell(.setVringError, FrontEnd.bytes(0), descriptors: [signal.descriptor.raw])
    let client = EchoClient(frontEnd, running: try frontEnd.makeRing(0, size: 64))
    try frontEnd.startRing(client.ring)
    let found = try Poll.wait(for: .readable, on: signal.descriptor, timeout: soon)
    #expect(found == .readable)
    let line =
      "warning echo0: queue 0 cannot start: the front-end has shared no memory; guest memory must be"
      + " shared: QEMU needs memory-backend-memfd,share=on"
    #expect(bed.lines.contains(line))
    // Not with each request that follows.
    for _ in 0..<10 { _ = try frontEnd.askNumber(.getQueueCount) }
    #expect(bed.lines.all.count { $0.contains("cannot start") } == 1)
    try frontEnd.shareMemory()
    #expect(try client.echo([7]) == [7])
  }

  @Test(
    "addresses outside memory break that ring alone",
    arguments: [0, 0x10_0000, 0xffff_ffff_ffff_fff0, SharedGuestMemory.userOffset] as [UInt64])
  func addressOutside(_ address: UInt64) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(.allRing)
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 16)
    try frontEnd.startRing(ring)
    try frontEnd.tell(
      .setVringAddress,
      VringAddress(index: 0, descriptors: address, used: address, available: address).bytes)
    #expect(bed.lines.contains("queue 0 is stopped: ring area outside guest memory"))
    #expect(bed.lines.contains("QEMU needs memory-backend-memfd,share=on"))
    _ = try frontEnd.stopRing(0)
    #expect(try EchoClient(frontEnd).echo([1]) == [1])
  }

  @Test(
    "rings that are misaligned, overlap or end outside memory break alone", arguments: formats,
    [
      (8, 0x4000, 0x8000), (0, 0x4001, 0x8000), (0, 0x4000, 0x8002), (0, 0, 0), (0, 16, 0x8000),
      (0, 0x4000, 0x4000), (0x3f_fff0, 0, 0x8000),
    ] as [(UInt64, UInt64, UInt64)])
  func badPlace(_ features: Features, _ place: (UInt64, UInt64, UInt64)) throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(features)
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 16)
    try frontEnd.startRing(ring)
    let start = SharedGuestMemory.userAddress(of: frontEnd.memory.descriptions[0].guestAddress)
    try frontEnd.tell(
      .setVringAddress,
      VringAddress(
        index: 0, descriptors: start + place.0, used: start + place.2,
        available: start + place.1
      ).bytes)
    #expect(bed.lines.contains("queue 0 is stopped: ring area"))
    _ = try frontEnd.stopRing(0)
    #expect(try EchoClient(frontEnd, features).echo([1]) == [1])
  }

  @Test("kicks before a ring is enabled, and after a reset, reach nobody", arguments: formats)
  func untimelyKicks(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd(), features)
    try client.frontEnd.enableRing(0, false)
    try client.offerOne()
    client.ring.kick.signal()
    try client.frontEnd.tell(.resetDevice)
    client.ring.kick.signal()
    #expect(try client.frontEnd.askNumber(.getQueueCount) == 2)
    #expect(device.statistics[0].chains == 0)
    // Said again but for its being enabled: still nobody.
    try client.frontEnd.tell(
      .setVringKick, FrontEnd.bytes(0), descriptors: [client.ring.kick.descriptor.raw])
    #expect(try client.frontEnd.askNumber(.getQueueCount) == 2)
    #expect(device.statistics[0].chains == 0)
  }

  @Test("a driver that breaks its ring again and again fills no log")
  func faultsAreLimited() throws {
    let bed = try ServerBed([EchoDevice()])
    let frontEnd = try bed.frontEnd()
    try frontEnd.negotiate(.allRing)
    try frontEnd.shareMemory()
    let ring = try frontEnd.makeRing(0, size: 16)
    let start = ContinuousClock.now
    for _ in 0..<200 {
      try frontEnd.startRing(ring, base: 0x7fff)
      _ = try frontEnd.stopRing(0)
    }
    // One a second.
    let limit = Int((ContinuousClock.now - start).components.seconds) + 1
    #expect(bed.lines.all.count { $0.contains("is stopped") } <= limit)
  }
}
