// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LguestTransport

private let mebibyte: UInt64 = 1 << 20

private func plan(
  memory: UInt64 = 64 * mebibyte, kernelEnd: UInt64 = 20 * mebibyte, initrd: UInt64? = nil,
  deviceBytes: UInt64 = 0xd000
) throws -> MemoryPlan {
  try MemoryPlan(
    memory: memory, kernelEnd: kernelEnd, initrd: initrd.map { ("rd.gz", $0) },
    deviceBytes: deviceBytes)
}

@Suite(.timeLimit(.minutes(20))) struct BootTests {
  // MARK: Places

  @Test func `the initrd ends with the memory, in whole pages`() throws {
    let initrd = try #require(try plan(initrd: 0xb1234).initrd)
    #expect(initrd.address == 64 * mebibyte - 0xb2000)
    #expect(initrd.byteCount == 0xb2000)
    #expect(try plan(initrd: 4096).initrd?.byteCount == 4096)
    #expect(try plan(initrd: 0).initrd == nil)
    #expect(try plan().initrd == nil)
  }

  @Test func `memory is whole pages`() throws {
    #expect(try plan(memory: 64 * mebibyte + 4095).memory == 64 * mebibyte)
  }

  @Test func `an initrd fits as long as kernel and first tables have room`() throws {
    // 16 tables that map 4 MiB each, 32 of PAE, and the pages above them.
    let room = 44 * mebibyte - (16 + 32 + 2) * 4096
    #expect(try plan(initrd: room).initrd != nil)
    #expect(
      throws: LguestError.initrdTooLarge(path: "rd.gz", byteCount: room + 1, room: room)
    ) { try plan(initrd: room + 1) }
    #expect(throws: LguestError.self) { try plan(initrd: .max) }
  }

  @Test func `too little memory says how much would do`() throws {
    do {
      _ = try plan(memory: 20 * mebibyte)
      Issue.record("accepted")
    } catch let error as LguestError {
      #expect(error.description.contains("20M of memory is too little"))
      #expect(error.description.contains("--memory 21M or more"))
    }
    #expect(throws: LguestError.self) { try plan(memory: 3 * mebibyte, kernelEnd: mebibyte) }
    #expect(throws: LguestError.self) { try plan(memory: 0, kernelEnd: 0) }
  }

  @Test func `devices behind the memory must be below 4 GiB`() throws {
    #expect(throws: Never.self) { try plan(memory: 4095 * mebibyte, deviceBytes: mebibyte) }
    #expect(throws: LguestError.tooMuchMemory(memory: 4095 * mebibyte)) {
      try plan(memory: 4095 * mebibyte, deviceBytes: mebibyte + 1)
    }
    #expect(throws: LguestError.self) { try plan(memory: .max) }
  }

  // MARK: Boot parameters

  @Test func `boot parameters say what a paravirtualised kernel looks for`() throws {
    let page = try BootParameters(plan(initrd: 0xb1234), commandLine: "root=/dev/vda").page
    #expect(page.count == 4096)
    #expect(page[0x1e8] == 1)
    #expect(page.littleEndian(UInt64.self, at: 0x2d0) == 0)
    #expect(page.littleEndian(UInt64.self, at: 0x2d8) == 64 * mebibyte)
    #expect(page.littleEndian(UInt32.self, at: 0x2e0) == 1)
    #expect(page.littleEndian(UInt16.self, at: 0x206) == 0x207)
    #expect(page[0x210] == 0xff)
    #expect(page[0x211] == 0x40)
    #expect(page.littleEndian(UInt32.self, at: 0x218) == 0x3f4_e000)
    #expect(page.littleEndian(UInt32.self, at: 0x21c) == 0xb2000)
    #expect(page.littleEndian(UInt32.self, at: 0x228) == 0x1000)
    #expect(page.littleEndian(UInt32.self, at: 0x230) == 0x100_0000)
    #expect(page.littleEndian(UInt32.self, at: 0x23c) == 1)
    var rest = page
    for range in [
      0x1e8..<0x1e9, 0x206..<0x208, 0x210..<0x212, 0x218..<0x220, 0x228..<0x22c, 0x230..<0x234,
      0x23c..<0x240, 0x2d0..<0x2e4,
    ] {
      rest.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count))
    }
    #expect(rest.allSatisfy { $0 == 0 })
  }

  @Test func `without an initrd there is no word of one`() throws {
    let page = try BootParameters(plan(), commandLine: "").page
    #expect(page[0x218..<0x220].allSatisfy { $0 == 0 })
  }

  @Test func `the command line ends with a zero and fits into the kernel's`() throws {
    #expect(try BootParameters(plan(), commandLine: "a b").commandLine == Array("a b\0".utf8))
    let long = String(repeating: "x", count: 2047)
    #expect(try BootParameters(plan(), commandLine: long).commandLine.count == 2048)
    #expect(throws: LguestError.commandLineTooLong(byteCount: 2048)) {
      try BootParameters(plan(), commandLine: long + "x")
    }
  }
}
