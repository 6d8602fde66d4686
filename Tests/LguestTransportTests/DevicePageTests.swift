// SPDX-License-Identifier: Apache-2.0

import Backends
import Testing
import VirtioRing

@testable import LguestTransport

private let memory: UInt64 = 0x400_0000

private func device(
  type: UInt8 = 4, queues: Int = 1, features: UInt64 = 0, configuration: Int = 0
) -> DeviceDescription {
  DeviceDescription(
    name: "d\(type)", type: type, queues: Array(repeating: 256, count: queues),
    features: Features(rawValue: features), configuration: Array(repeating: 7, count: configuration)
  )
}

@Suite(.timeLimit(.minutes(20))) struct DevicePageTests {
  @Test func `devices lie where the original put them`() throws {
    // A disk, a source of randomness and a console: places from a trace of Linux 2.6.31.
    let page = try DevicePage(
      [
        device(type: 2, features: 0x05, configuration: 16), device(type: 4),
        device(type: 3, queues: 2),
      ], at: memory)
    #expect(page.slots.map(\.address) == [memory, memory + 31, memory + 44])
    let queues = page.slots.flatMap(\.queues)
    #expect(queues.map { $0.address - memory } == [0x1000, 0x4000, 0x7000, 0xa000])
    #expect(queues.map(\.interrupt) == [1, 2, 3, 4])
    #expect(page.end == memory + 0xd000)
    #expect(page.bytes.count == 4096)
    let disk: [UInt8] = [2, 1, 1, 16, 0, 0, 1, 1, 0, 0x01, 0x40, 0, 0, 5, 0]
    #expect(Array(page.bytes[..<31]) == disk + Array(repeating: 7, count: 16))
    #expect(Array(page.bytes[31..<44]) == [4, 1, 0, 0, 0, 0, 1, 2, 0, 0x04, 0x40, 0, 0])
    #expect(
      Array(page.bytes[44..<65])
        == [3, 2, 0, 0, 0, 0, 1, 3, 0, 0x07, 0x40, 0, 0, 0, 1, 4, 0, 0x0a, 0x40, 0, 0])
    #expect(page.bytes[65...].allSatisfy { $0 == 0 })
  }

  @Test func `a ring has the legacy layout, its used ring at the next page`() throws {
    let page = try DevicePage([device()], at: memory)
    let queue = page.slots[0].queues[0]
    #expect(
      queue.layout
        == .split(
          descriptors: memory + 0x1000, available: memory + 0x2000, used: memory + 0x3000))
    #expect(queue.byteCount == 0x3000)
    // 512 entries: two pages of descriptors, one and a bit for the rest.
    var large = device()
    large.queues = [512]
    #expect(try DevicePage([large], at: memory).slots[0].queues[0].byteCount == 0x5000)
  }

  @Test func `a bitmap is as long as its highest feature needs`() throws {
    for (features, count) in [(0, 0), (1, 1), (0x80, 1), (0x100, 2), (1 << 28, 4)]
      as [(UInt64, Int)]
    {
      let slot = try DevicePage([device(features: features)], at: memory).slots[0]
      #expect(slot.featureByteCount == count)
      #expect(slot.acceptedAddress == memory + 13 + UInt64(count))
      #expect(slot.statusAddress == memory + 4)
    }
  }

  @Test func `there are 31 interrupts, and then a clear error`() throws {
    let queues = try DevicePage([device(queues: 16), device(type: 5, queues: 15)], at: memory)
    #expect(queues.slots.flatMap(\.queues).map(\.interrupt) == Array(1...31))
    #expect(throws: LguestError.noInterruptLeft(device: "d5")) {
      try DevicePage([device(queues: 16), device(type: 5, queues: 16)], at: memory)
    }
  }

  @Test func `the page can be filled to its last byte, and no further`() throws {
    // 16 devices of 5 + 8 + 243 bytes.
    let full = Array(repeating: device(configuration: 243), count: 16)
    #expect(try DevicePage(full, at: memory).slots.count == 16)
    #expect(throws: LguestError.devicePageFull(device: "d9")) {
      try DevicePage(full + [device(type: 9, queues: 0)], at: memory)
    }
  }

  @Test func `what a descriptor cannot say is refused`() throws {
    var odd = device()
    odd.queues = [100]
    for wrong in [
      device(type: 0), device(configuration: 256), device(features: 1 << 32), odd,
    ] {
      #expect {
        try DevicePage([wrong], at: memory)
      } throws: {
        "\($0)".contains("lguest cannot describe it")
      }
    }
  }

  @Test func `the four devices show what old guests know of`() throws {
    let rng = DeviceDescription(try RngDevice(name: "rng0"))
    #expect(rng.type == 4)
    #expect(rng.features == [])
    #expect(rng.configuration == [])
    #expect(rng.queues == [256])
    let echo = DeviceDescription(EchoDevice())
    #expect(echo.features.rawValue >> 32 == 0)
    #expect(echo.queues == [256, 256])
    // Not the link's status, which it could not be told of; merged receive buffers, which spare it those of 64 KiB.
    let all: Features = [
      .netStatus, .netMTU, .netMergeBuffers, .netGuestTSO4, .netHostTSO4, .version1,
    ]
    let offered = DeviceDescription(
      name: "net0", type: 1, queues: [256, 256], features: all, configuration: [])
    let net = DeviceDescription(EchoDevice(offered))
    #expect(net.features == [.netMergeBuffers, .netGuestTSO4, .netHostTSO4])
  }
}
