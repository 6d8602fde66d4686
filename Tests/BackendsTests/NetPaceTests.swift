// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

private func options(_ tap: NetOptions.Tap = .create("tap0")) -> NetOptions {
  var options = NetOptions(tap: tap)
  options.address = IPv4Prefix("10.0.0.1/24")
  return options
}

/// Whether a read of the device's tap waits for a frame.
private func waits(_ device: NetDevice) throws -> Bool {
  let tap = try device.tap.duplicate()
  let flags = fcntl(tap.raw, F_GETFL)
  guard flags >= 0 else { throw Errno.current }
  return flags & O_NONBLOCK == 0
}

/// Sends datagrams to the guest one by one, each with its number, and looks that they arrive.
private struct Trickle: ~Copyable {
  let bed: NetTapBed
  let socket: HostSocket
  private var number: UInt8 = 0

  init(_ bed: NetTapBed) throws {
    self.bed = bed
    socket = try HostSocket(port: 7)
  }

  /// One more. The pause is longer than frames that come fast are apart.
  mutating func next() throws {
    usleep(1000)
    number &+= 1
    try socket.send([number], to: bed.station, port: 9)
    #expect(try bed.next(Packet.udp)?.frame.suffix(1) == [number])
  }

  /// Goes on until the receiver waits in its read, asleep.
  mutating func untilWaiting(thread: String) throws {
    let end = ContinuousClock.now + soon
    while try !waits(bed.device), ContinuousClock.now < end { try next() }
    #expect(try waits(bed.device))
    #expect(try isAsleep(threads: thread))
  }
}

/// Runs a body in a network of its own, in which the device's receiver waits in its read.
private func withSlowReceiver(
  _ name: String, _ body: @escaping @Sendable (NetTapBed, inout Trickle) throws -> Void
) throws {
  try inNewNetwork {
    let bed = try NetTapBed(options(), name: name)
    var trickle = try Trickle(bed)
    try trickle.untilWaiting(thread: "\(name)-rx")
    try body(bed, &trickle)
  }
}

@Suite("The pace of frames", .timeLimit(.minutes(20)))
struct NetPaceTests {
  @Test("is slow after two frames that came one by one, until two come together")
  func pace() {
    var pace = FramePace()
    #expect(!pace.isSlow)
    var time: UInt64 = 1_000_000
    pace.saw(at: time)
    #expect(!pace.isSlow)
    for _ in 0..<3 {
      time += 50_001
      pace.saw(at: time)
      #expect(pace.isSlow)
    }
    time += 50_000
    pace.saw(at: time)
    #expect(!pace.isSlow)
    // Bursts never make it slow.
    for _ in 0..<10 {
      time += 1_000_000
      pace.saw(at: time)
      #expect(!pace.isSlow)
      pace.saw(at: time + 10)
      #expect(!pace.isSlow)
    }
  }

  @Test("being slow, the receiver waits in its read, and leaves it when it is to stop")
  func stops() throws {
    for round in 0..<5 {
      // Each in its own network: a program that another test starts meanwhile may hold the last tap for a moment.
      try withSlowReceiver("pace\(round)") { bed, trickle in
        for _ in 0..<5 { try trickle.next() }
        bed.stop()
        #expect(try !waits(bed.device))
        #expect(bed.receive.inFlightCount == 0)
      }
    }
  }

  @Test("being slow, the receiver goes on after its queue was stopped and started")
  func startsAgain() throws {
    try withSlowReceiver("again") { bed, trickle in
      for _ in 0..<5 {
        bed.receive.stop()
        try bed.receive.start()
        try trickle.next()
        try trickle.untilWaiting(thread: "again-rx")
      }
    }
  }

  @Test("being slow, the receiver takes new descriptors though no frame comes")
  func newDescriptors() throws {
    try withSlowReceiver("mail") { bed, trickle in
      for _ in 0..<5 {
        try bed.receive.changeCall()
        #expect(try bed.receive.isCalled())
        try bed.receive.changeKick()
        try trickle.next()
        try trickle.untilWaiting(thread: "mail-rx")
      }
    }
  }

  @Test("being slow, frames that come together are all given")
  func burst() throws {
    try withSlowReceiver("burst") { bed, trickle in
      for _ in 0..<5 {
        try trickle.untilWaiting(thread: "burst-rx")
        for number in UInt8(0)..<30 { try trickle.socket.send([number], to: bed.station, port: 9) }
        for number in UInt8(0)..<30 {
          #expect(try bed.next(Packet.udp)?.frame.suffix(1) == [number])
        }
      }
    }
  }

  @Test("being slow, an interface that is removed takes the link down, and the thread sleeps")
  func removed() throws {
    try withSlowReceiver("gone") { bed, _ in
      try removeInterface("tap0")
      #expect(eventually { !bed.device.isLinkUp })
      #expect(try isAsleep(threads: "gone-rx"))
      bed.stop()
      #expect(bed.receive.inFlightCount == 0)
    }
  }

  @Test("does not change what a tap that was handed over does, as others may have it too")
  func handedOver() throws {
    try inNewNetwork {
      let tap = try Tap.open(name: "tap0")
      let bed = try NetTapBed(options(.fd(try tap.descriptor.duplicate().release())))
      var trickle = try Trickle(bed)
      for _ in 0..<20 {
        try trickle.next()
        #expect(try !waits(bed.device))
      }
    }
  }
}
