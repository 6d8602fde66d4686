// SPDX-License-Identifier: Apache-2.0

import Backends
import Glibc
import Linux
import Synchronization
import Testing
import VirtioRing
import VirtioTesting

@Suite("A network device", .timeLimit(.minutes(20)))
struct NetDeviceTests {
  private func device(_ change: (inout NetOptions) -> Void = { _ in }) throws -> NetDevice {
    let pair = try PacketPair()
    close(pair.host)
    var options = NetOptions(tap: .fd(pair.device))
    change(&options)
    return try NetDevice(name: "net0", options: options)
  }

  /// What making the device fails with.
  private func failure(_ options: NetOptions) -> String? {
    do throws(DeviceError) {
      _ = try NetDevice(name: "net0", options: options)
      return nil
    } catch {
      return error.description
    }
  }

  @Test("is of type 1 and has a receive and a transmit queue, no control queue")
  func shape() throws {
    let device = try device()
    #expect(device.id == .net)
    #expect(device.queueSizes.count == 2)
    #expect(!device.offeredFeatures.contains(Features(bit: 17)))
    #expect(!device.offeredFeatures.contains(Features(bit: 22)))
    #expect(!device.writeConfiguration(at: 0, [1, 2, 3, 4, 5, 6]))
  }

  @Test("offers all offloads, or none of them when they are turned off")
  func offloads() throws {
    let all: Features = [
      .netChecksum, .netGuestChecksum, .netGuestTSO4, .netGuestTSO6, .netGuestECN, .netGuestUFO,
      .netHostTSO4, .netHostTSO6, .netHostECN, .netHostUFO,
    ]
    let ring = Features.allRing.union([.netMergeBuffers, .netStatus])
    #expect(try device().offeredFeatures == ring.union(all))
    #expect(try device { $0.offloads = false }.offeredFeatures == ring)
  }

  @Test("tells address and packet length where they are given")
  func configuration() throws {
    let plain = try device()
    #expect(plain.offeredFeatures.isDisjoint(with: [.netMAC, .netMTU]))
    #expect(plain.configuration() == [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0])
    let full = try device {
      $0.mac = MACAddress("52:54:00:12:34:56")
      $0.mtu = 9000
    }
    #expect(full.offeredFeatures.contains([.netMAC, .netMTU]))
    #expect(full.configuration() == [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0x28, 0x23])
  }

  @Test("says when the link goes down or up, and only then")
  func link() throws {
    let device = try device()
    let counter = SharedCounter()
    device.configurationChange.observe { counter.value.add(1, ordering: .relaxed) }
    device.setLink(up: true)
    #expect(counter.value.load(ordering: .relaxed) == 0)
    device.setLink(up: false)
    #expect(counter.value.load(ordering: .relaxed) == 1)
    #expect(device.configuration()[6] == 0)
    device.setLink(up: false)
    #expect(counter.value.load(ordering: .relaxed) == 1)
    device.setLink(up: true)
    #expect(counter.value.load(ordering: .relaxed) == 2)
    #expect(device.configuration()[6] == 1)
  }

  @Test("a descriptor that is not open is refused in one line")
  func closedDescriptor() {
    #expect(
      failure(NetOptions(tap: .fd(-1)))
        == "cannot use file descriptor -1 for net0: Bad file descriptor")
    #expect(
      failure(NetOptions(tap: .fd(999_999)))
        == "cannot use file descriptor 999999 for net0: Bad file descriptor")
  }

  @Test("reset forgets what the driver accepted: the next one may be a legacy driver")
  func reset() throws {
    let pair = try PacketPair()
    let host = FileDescriptor(owning: pair.host)
    let device = try NetDevice(name: "net0", options: NetOptions(tap: .fd(pair.device)))
    device.driverAccepted([.version1, .netChecksum])
    device.reset()
    device.driverAccepted([])
    let bed = try QueueBed(device, index: 1, .legacy)
    #expect(bed.offer(RawHeader().bytes(10) + frame(60)))
    #expect(try bed.awaitUsed() != nil)
    #expect(try host.read(upTo: 100) == RawHeader().bytes(10) + frame(60))
  }

  @Test("both queues work at once", arguments: QueueFormat.allCases)
  func bothQueues(format: QueueFormat) throws {
    let pair = try PacketPair()
    let host = FileDescriptor(owning: pair.host)
    let device = try NetDevice(name: "net0", options: NetOptions(tap: .fd(pair.device)))
    device.driverAccepted(format.features)
    let header = RawHeader().bytes(format == .legacy ? 10 : 12)
    let receive = try QueueBed(device, index: 0, format)
    let transmit = try QueueBed(device, index: 1, format)
    for index in 0..<50 {
      let address = receive.space.take(2000)
      #expect(receive.offer([.writable(address, 2000)]))
      #expect(transmit.offer(header + frame(100, seed: UInt8(index + 1))))
      #expect(try host.read(upTo: 4000) == header + frame(100, seed: UInt8(index + 1)))
      _ = try host.write(header + frame(200, seed: UInt8(index + 1)))
      let used = try #require(try receive.awaitUsed())
      let got = receive.memory.bytes(at: address, count: Int(used.written))
      #expect(Array(got.dropFirst(header.count)) == frame(200, seed: UInt8(index + 1)))
      #expect(try transmit.awaitUsed() != nil)
    }
  }
}
