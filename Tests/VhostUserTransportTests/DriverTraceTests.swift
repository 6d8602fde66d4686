// SPDX-License-Identifier: Apache-2.0
//
// A new driver, and one that comes back.

import Backends
import HostTesting
import Linux
import Testing
import VhostUserTesting
@testable import VhostUserTransport
import VirtioRing

@Suite(.timeLimit(.minutes(20))) struct DriverTraceTests {
  @Test("where rings start tells whether their driver was there before")
  func whoComes() {
    let trace = DriverTrace(ringCount: 3)
    // Never seen.
    #expect(!trace.isBack([(0, true), (1, true)]))
    #expect(trace.isBack([(0, true), (1, false)]))
    // Seen, and used in part.
    trace.stopped(ring: 0, atBeginning: true)
    trace.stopped(ring: 1, atBeginning: false)
    #expect(trace.isBack([(0, true), (1, false)]))
    #expect(!trace.isBack([(0, true), (1, true)]))
    #expect(!trace.isBack([(0, true), (1, true), (2, true)]))
    // Not used at all, or gone round.
    #expect(trace.isBack([(0, true)]))
    #expect(trace.isBack([(0, true), (2, true)]))
    trace.forget()
    #expect(!trace.isBack([(0, true)]))
  }

  @Test("a driver whose rings are stopped and go on is the same one", arguments: formats)
  func pause(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd(), features)
    #expect(try client.echo([1]) == [1])
    for round in 1...3 {
      let base = try client.frontEnd.stopRing(0)
      // QEMU writes a status of 0 when it only pauses its guest.
      if round != 2 { try client.frontEnd.tell(.setStatus, FrontEnd.bytes(0)) }
      try client.frontEnd.startRing(client.ring, base: base)
      #expect(try client.echo([2]) == [2])
      #expect(device.returns == round)
    }
    #expect(device.resets == 1)
  }

  @Test("a driver whose rings begin again is new, though nobody says so", arguments: formats)
  func reboot(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    let client = try EchoClient(try bed.frontEnd(), features)
    #expect(try client.echo([1]) == [1])
    #expect(device.resets == 1)
    _ = try client.frontEnd.stopRing(0)
    let frontEnd = client.frontEnd
    try frontEnd.tell(
      .setFeatures, FrontEnd.bytes(frontEnd.features.rawValue | protocolFeaturesBit))
    let ring = try frontEnd.makeRing(0, size: 64)
    try frontEnd.startRing(ring)
    #expect(try EchoClient(frontEnd, running: ring).echo([2]) == [2])
    #expect(device.resets == 2)
    #expect(device.returns == 0)
  }

  @Test("a dropped connection is not the driver's end", arguments: formats)
  func reconnect(_ features: Features) throws {
    let device = EchoDevice()
    let bed = try ServerBed([device])
    #expect(try EchoClient(try bed.frontEnd(), features).echo([1]) == [1])
    // One request on, as the front-end finds it in the used ring.
    let base: UInt32 = features.contains(.packedRing) ? 0x8002_8002 : 1
    _ = try EchoClient(try bed.frontEnd(), features, base: base)
    #expect(device.returns == 1)
    #expect(device.resets == 1)
    #expect(device.accepted.count == 2)
  }

  @Test("write-through, once chosen, outlives the connection and the driver")
  func writeThroughStays() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("disk.img")
    try FileDescriptor.open(path, [.readWrite, .create]).truncate(to: 1 << 20)
    defer { try? FileSystem.remove(path) }
    let disk = try BlockDevice(name: "block0", options: BlockOptions(path: path))
    let bed = try ServerBed([disk], in: directory)
    // FLUSH and CONFIG_WCE.
    let features = Features.allRing.union(Features(rawValue: 1 << 9 | 1 << 11))
    for round in 0..<3 {
      let frontEnd = try bed.frontEnd()
      let ring = try frontEnd.bringUp(features)
      if round == 0 {
        #expect(try frontEnd.readConfiguration(at: 32, byteCount: 1) == [1])
        try frontEnd.tell(
          .setConfiguration, ConfigurationAccess(offset: 32, content: [0]).bytes)
      }
      #expect(try frontEnd.readConfiguration(at: 32, byteCount: 1) == [0])
      if round == 1 { try frontEnd.tell(.resetDevice) }
      _ = consume ring
    }
    #expect(bed.stop())
  }
}
