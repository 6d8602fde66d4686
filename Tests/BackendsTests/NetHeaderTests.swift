// SPDX-License-Identifier: Apache-2.0

import Linux
import Testing
import VirtioRing

@testable import Backends

@Suite("A packet header", .timeLimit(.minutes(20)))
struct NetHeaderTests {
  private static let offloads = FrameOffloads.all

  @Test("has the layout of virtio_net_hdr, little-endian")
  func layout() {
    let raw = RawHeader(
      flags: 1, gsoType: 0x81, headerLength: 0x0302, gsoSize: 0x0504, checksumStart: 0x0706,
      checksumOffset: 0x0908, bufferCount: 0x0b0a)
    let bytes = raw.bytes(12)
    #expect(bytes == [1, 0x81, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    let low = bytes[0..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    let high = bytes[8..<12].reversed().reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
    let header = NetHeader(low: low.littleEndian, high: high.littleEndian)
    #expect(header.flags == 1)
    #expect(header.gsoType == 0x81)
    #expect(header.headerLength == 0x0302)
    #expect(header.gsoSize == 0x0504)
    #expect(header.checksumStart == 0x0706)
    #expect(header.checksumOffset == 0x0908)
    #expect(header.bufferCount == 0x0b0a)
    #expect(header.low.littleEndian == low)
    #expect(header.high.littleEndian == high)
  }

  /// What `checked` throws; nil where it lets the frame pass.
  private func fault(
    _ header: NetHeader, frameBytes: Int = 100, offloads: FrameOffloads = offloads
  ) -> FrameFault? {
    do throws(FrameFault) {
      _ = try header.checked(frameBytes: frameBytes, offloads: offloads)
      return nil
    } catch {
      return error
    }
  }

  @Test("passes with nothing set on every frame that Ethernet can carry")
  func plain() {
    #expect(fault(NetHeader(), frameBytes: -12) == .tooShort)
    #expect(fault(NetHeader(), frameBytes: 0) == .tooShort)
    #expect(fault(NetHeader(), frameBytes: 13) == .tooShort)
    #expect(fault(NetHeader(), frameBytes: 14, offloads: []) == nil)
    #expect(fault(NetHeader(), frameBytes: 65553, offloads: []) == nil)
    #expect(fault(NetHeader(), frameBytes: 65554) == .tooLong)
    #expect(fault(NetHeader(), frameBytes: 1 << 40) == .tooLong)
  }

  @Test("NEEDS_CSUM with csum_start or csum_offset past the packet is refused")
  func checksumPlace() {
    func at(_ start: UInt16, _ offset: UInt16) -> NetHeader {
      NetHeader(flags: 1, checksumStart: start, checksumOffset: offset)
    }
    #expect(fault(at(34, 16)) == nil)
    #expect(fault(at(34, 64)) == nil)
    #expect(fault(at(34, 65)) == .checksumOutsideFrame)
    #expect(fault(at(100, 0)) == .checksumOutsideFrame)
    #expect(fault(at(99, 0)) == .checksumOutsideFrame)
    #expect(fault(at(0xffff, 0)) == .checksumOutsideFrame)
    #expect(fault(at(0, 0xffff)) == .checksumOutsideFrame)
    #expect(fault(at(0xffff, 0xffff)) == .checksumOutsideFrame)
    #expect(fault(at(0xffff, 0xffff), frameBytes: 65553) == .checksumOutsideFrame)
  }

  @Test("csum_start means nothing without NEEDS_CSUM and does not go on")
  func checksumWithoutFlag() throws {
    let header = NetHeader(flags: 0, checksumStart: 0xffff, checksumOffset: 0xffff)
    #expect(try header.checked(frameBytes: 60, offloads: .all) == NetHeader())
  }

  @Test("unknown flags are ignored and do not go on")
  func unknownFlags() throws {
    let header = NetHeader(flags: 0xff, checksumStart: 34, checksumOffset: 6)
    let checked = try header.checked(frameBytes: 60, offloads: .all)
    #expect(checked == NetHeader(flags: 1, checksumStart: 34, checksumOffset: 6))
  }

  @Test("an unknown gso_type is refused", arguments: [2, 5, 6, 0x7f, 0x80, 0x82, 0x83, 0xff])
  func unknownKind(gsoType: UInt8) {
    #expect(fault(NetHeader(gsoType: gsoType, gsoSize: 1448)) == .unknownGSOType)
  }

  @Test(
    "a known gso_type passes, with and without congestion marks", arguments: [1, 4, 3, 0x81, 0x84])
  func knownKind(gsoType: UInt8) throws {
    let header = NetHeader(
      flags: 1, gsoType: gsoType, headerLength: 54, gsoSize: 1448, checksumStart: 34,
      checksumOffset: 16)
    #expect(try header.checked(frameBytes: 4000, offloads: .all) == header)
  }

  @Test("gso_size 0 is refused", arguments: [1, 3, 4, 0x81])
  func zeroSize(gsoType: UInt8) {
    #expect(fault(NetHeader(gsoType: gsoType, gsoSize: 0)) == .gsoSizeZero)
  }

  @Test("hdr_len past the frame is cut: it is only a hint")
  func headerLength() throws {
    let header = NetHeader(gsoType: 1, headerLength: 0xffff, gsoSize: 1000)
    #expect(try header.checked(frameBytes: 3000, offloads: .all).headerLength == 3000)
    #expect(try header.checked(frameBytes: 65553, offloads: .all).headerLength == 0xffff)
    #expect(try NetHeader(headerLength: 77).checked(frameBytes: 60, offloads: .all) == NetHeader())
  }

  @Test("what was not negotiated is refused")
  func notNegotiated() {
    #expect(fault(NetHeader(flags: 1), offloads: []) == .checksumNotNegotiated)
    let kinds: [(UInt8, FrameOffloads)] = [(1, .tso4), (4, .tso6), (3, .ufo)]
    for (kind, offload) in kinds {
      let header = NetHeader(gsoType: kind, gsoSize: 1000)
      #expect(fault(header, offloads: FrameOffloads.all.subtracting(offload)) == .gsoNotNegotiated)
      #expect(fault(header, offloads: [.checksum, offload]) == nil)
    }
    #expect(
      fault(NetHeader(gsoType: 0x81, gsoSize: 9), offloads: [.checksum, .tso4, .tso6])
        == .gsoNotNegotiated)
  }

  @Test("no header makes the check trap")
  func anything() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let header = NetHeader(low: random.next(), high: UInt32(truncatingIfNeeded: random.next()))
      let frameBytes = Int.random(in: -12...70_000, using: &random)
      let offloads = FrameOffloads(rawValue: UInt8.random(in: 0...31, using: &random))
      guard let checked = try? header.checked(frameBytes: frameBytes, offloads: offloads) else {
        continue
      }
      // What passes passes again, unchanged.
      #expect(try! checked.checked(frameBytes: frameBytes, offloads: offloads) == checked)
      #expect(Int(checked.headerLength) <= frameBytes)
    }
  }
}

@Suite("What driver and device settle on", .timeLimit(.minutes(20)))
struct NetFormatTests {
  @Test("the header has 12 bytes, but 10 for legacy drivers without mergeable buffers")
  func headerSize() {
    #expect(NetFormat([]).headerSize == 10)
    #expect(NetFormat([.netGuestTSO4, .netGuestChecksum]).headerSize == 10)
    #expect(NetFormat(.netMergeBuffers).headerSize == 12)
    #expect(NetFormat(.version1).headerSize == 12)
    #expect(NetFormat([.version1, .netMergeBuffers]).headerSize == 12)
  }

  @Test("GUEST features say what may be received, HOST features what may be sent")
  func directions() {
    let guest = NetFormat([.netGuestChecksum, .netGuestTSO4, .netGuestECN])
    #expect(guest.receiveOffloads == [.checksum, .tso4, .ecn])
    #expect(guest.transmitOffloads == [])
    let host = NetFormat([.netChecksum, .netHostTSO6, .netHostUFO])
    #expect(host.transmitOffloads == [.checksum, .tso6, .ufo])
    #expect(host.receiveOffloads == [])
  }

  @Test("nothing is offloaded without checksums, no congestion marks without TCP segments")
  func conditions() {
    #expect(NetFormat([.netGuestTSO4, .netGuestUFO]).receiveOffloads == [])
    #expect(NetFormat([.netHostTSO4, .netHostUFO]).transmitOffloads == [])
    #expect(NetFormat([.netGuestChecksum, .netGuestECN]).receiveOffloads == .checksum)
  }

  @Test("every offload has its two feature bits")
  func bits() {
    #expect(FrameOffloads.all.features.rawValue == 0b0111_1111_1000_0011)
    for bit in 0..<5 {
      let offload = FrameOffloads(rawValue: 1 << bit)
      #expect(FrameOffloads(driver: offload.features) == offload)
      #expect(FrameOffloads(device: offload.features) == offload)
    }
  }

  @Test("every offload has its flag of TUNSETOFFLOAD")
  func tapFlags() {
    // TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN, TUN_F_UFO
    let flags: [(FrameOffloads, UInt32)] = [
      (.checksum, 1), (.tso4, 2), (.tso6, 4), (.ecn, 8), (.ufo, 16), (.all, 31), ([], 0),
    ]
    for (offloads, flag) in flags { #expect(TapOffloads(offloads).rawValue == flag) }
  }

  @Test("what a tap refuses is not offered: UFO first, then congestion marks, then all segments")
  func probing() throws {
    func offered(_ known: TapOffloads) throws -> FrameOffloads {
      var last: TapOffloads = .ufo
      let offloads = try TapBackend.probe { (offloads) throws(Errno) in
        guard known.isSuperset(of: offloads) else { throw .invalidArgument }
        last = offloads
      }
      #expect(last == [] || offloads == [], "it is left without any")
      return offloads
    }
    #expect(try offered([.checksum, .tso4, .tso6, .ecn, .ufo]) == .all)
    #expect(try offered([.checksum, .tso4, .tso6, .ecn]) == [.checksum, .tso4, .tso6, .ecn])
    #expect(try offered([.checksum, .tso4, .tso6]) == [.checksum, .tso4, .tso6])
    #expect(try offered([.checksum]) == .checksum)
    #expect(try offered([]) == [])
    #expect(throws: Errno.badDescriptorState) {
      try TapBackend.probe { (_) throws(Errno) in throw .badDescriptorState }
    }
  }

  @Test("a frame is expected to be short until a long one came, and again after many short ones")
  func forecast() {
    var forecast = FrameForecast()
    let short = forecast.byteCount
    #expect(short >= 1514 + 12)
    forecast.saw(1526)
    #expect(forecast.byteCount == short)
    forecast.saw(9000)
    #expect(forecast.byteCount >= 65553 + 12)
    for _ in 0..<63 { forecast.saw(66) }
    #expect(forecast.byteCount >= 65553 + 12)
    forecast.saw(66)
    #expect(forecast.byteCount == short)
  }
}

@Suite("An Ethernet address", .timeLimit(.minutes(20)))
struct MACAddressTests {
  @Test("is read as it is written")
  func parsing() {
    #expect(MACAddress("52:54:00:12:34:ff")?.bytes == [0x52, 0x54, 0, 0x12, 0x34, 0xff])
    #expect(MACAddress("52:54:0:12:34:FF")?.description == "52:54:00:12:34:ff")
  }

  @Test(
    "of a group, of zeros or of nonsense is refused",
    arguments: [
      "", "52:54:00:12:34", "52:54:00:12:34:56:78", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff",
      "00:00:00:00:00:00", "52:54:00:12:34:5g", "52:54:00:12:34:+5", "525400123456",
      "52:54:00::34:56",
    ])
  func nonsense(text: String) {
    #expect(MACAddress(text) == nil)
  }
}
