// SPDX-License-Identifier: Apache-2.0

import LguestTesting
import Linux
import Testing
import VirtioTesting

@testable import LguestTransport

@Suite(.timeLimit(.minutes(20))) struct KernelImageTests {
  private func image(_ bytes: [UInt8]) throws -> KernelImage { try KernelImage(file(bytes)) }

  // MARK: ELF

  @Test func `an ELF kernel's segments go to their physical addresses`() throws {
    var elf = ELF()
    elf.entry = 0x100_0004
    elf.segments = [
      .init(address: 0x100_0000, bytes: Array("abc lguest".utf8), memoryCount: 0x5000),
      .init(type: 4, address: 0x10, bytes: [1, 2, 3]),
      .init(address: 0x120_0000, bytes: [9, 9]),
      .init(address: 0x130_0000, bytes: [], memoryCount: 0x1000),
    ]
    let image = try self.image(elf.bytes)
    let offset = UInt64(52 + 4 * 32)
    #expect(
      image.pieces == [
        .init(offset: offset, byteCount: 10, address: 0x100_0000),
        .init(offset: offset + 13, byteCount: 2, address: 0x120_0000),
      ])
    #expect(image.entry == 0x100_0004)
    #expect(image.end == 0x130_1000)
  }

  @Test func `a kernel for another machine is refused by name`() throws {
    var elf = ELF()
    elf.machine = 62
    #expect(throws: LguestError.notI386(path: "kernel", found: "x86-64")) { try image(elf.bytes) }
    elf.fileClass = 2
    elf.machine = 183
    #expect(throws: LguestError.notI386(path: "kernel", found: "64-bit Arm")) {
      try image(elf.bytes)
    }
  }

  @Test func `an ELF file that is no executable is no kernel`() throws {
    var elf = ELF()
    elf.type = 3
    #expect(throws: LguestError.notAKernel(path: "kernel")) { try image(elf.bytes) }
  }

  @Test func `an ELF kernel that never says lguest was not built for it`() throws {
    var elf = ELF()
    elf.segments = [.init(address: 0x100_0000, bytes: Array("lgues guest lgues".utf8))]
    #expect {
      try image(elf.bytes)
    } throws: {
      "\($0)".contains("cannot run under lguest") && "\($0)".contains("CONFIG_LGUEST_GUEST=y")
    }
  }

  @Test func `the word is found where the search is cut`() throws {
    for gap in (1 << 18) - 8...(1 << 18) + 2 {
      var elf = ELF()
      elf.segments[0].bytes =
        [0x6c, 0x6c] + Array("lguest".utf8) + [UInt8](repeating: 0x6c, count: gap)
      #expect(throws: Never.self) { try image(elf.bytes) }
    }
  }

  @Test func `headers that contradict the file are refused`() throws {
    func damaged(_ change: (inout ELF) -> Void, cutTo length: Int? = nil) throws -> String {
      var elf = ELF()
      change(&elf)
      let bytes = elf.bytes
      do {
        _ = try image(length.map { Array(bytes.prefix($0)) } ?? bytes)
        return "accepted"
      } catch {
        return "\(error)"
      }
    }
    #expect(try damaged({ $0.segmentSize = 56 }).contains("program headers make no sense"))
    #expect(try damaged({ $0.segments = [] }).contains("program headers make no sense"))
    #expect(try damaged({ $0.entry = 0 }).contains("starts outside of its segments"))
    #expect(try damaged({ $0.segments[0].memoryCount = 3 }).contains("passes the end"))
    #expect(try damaged({ _ in }, cutTo: 90).contains("passes the end"))
    #expect(try damaged({ _ in }, cutTo: 60).contains("cut off"))
    #expect(try damaged({ _ in }, cutTo: 30).contains("cut off"))
    #expect(try damaged({ _ in }, cutTo: 10).contains("cut off"))
  }

  // MARK: bzImage

  @Test(arguments: [(0, 2560), (1, 1024), (27, 14336)])
  func `a bzImage goes to 1 MiB without its real-mode part`(sectors: UInt8, offset: UInt64) throws {
    var kernel = BzImage()
    kernel.setupSectors = sectors
    let image = try self.image(kernel.bytes)
    #expect(image.pieces == [.init(offset: offset, byteCount: 5000, address: 0x10_0000)])
    #expect(image.entry == 0x10_0000)
    #expect(image.end == 0x140_0000)
  }

  @Test func `a bzImage that does not tell what it unpacks to needs its own size at least`() throws
  {
    var kernel = BzImage()
    kernel.version = 0x207
    #expect(try image(kernel.bytes).end == 0x100_0000 + 5000)
  }

  @Test func `bzImages that lguest cannot run are refused, each with its reason`() throws {
    func refusal(_ change: (inout BzImage) -> Void) -> String {
      var kernel = BzImage()
      change(&kernel)
      do {
        _ = try image(kernel.bytes)
        return "accepted"
      } catch {
        return "\(error)"
      }
    }
    #expect(refusal { $0.version = 0x206 }.contains("boot protocol 2.6"))
    #expect(refusal { $0.loadFlags = 0 }.contains("zImage"))
    #expect(refusal { $0.start = 0x1000 }.contains("starts outside of itself"))
    #expect(refusal { $0.payload = [] }.contains("nothing follows its header"))
    #expect(
      refusal {
        $0.version = 0x20c
        $0.moreLoadFlags = 1
      }.contains("x86-64"))
    // Before version 2.12 the field meant something else.
    #expect(refusal { $0.moreLoadFlags = 1 } == "accepted")
  }

  // MARK: Both

  @Test(arguments: 0..<16 as Range<UInt64>)
  func `a damaged kernel is refused, or its plan lies within the file and the guest`(
    seed: UInt64
  ) throws {
    var random = SplitMix(seed: seed)
    var elf = ELF()
    elf.segments.append(.init(address: 0x120_0000, bytes: [9, 9], memoryCount: 0x9000))
    let originals = [elf.bytes, BzImage().bytes]
    let edges: [UInt8] = [0, 1, 0x7f, 0x80, 0xff]
    var accepted = 0
    for round in 0..<200 {
      var bytes = originals[round & 1]
      // Headers of ELF are at the start, those of a bzImage at the end of its first sector.
      let headers = round & 1 == 0 ? 4..<116 : 0x1f1..<0x264
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place = Int.random(in: headers, using: &random)
        bytes[place] =
          Bool.random(using: &random)
          ? edges.randomElement(using: &random) ?? 0 : .random(in: 0...255, using: &random)
      }
      if Int.random(in: 0..<8, using: &random) == 0 {
        bytes.removeSubrange(Int.random(in: 0..<bytes.count, using: &random)...)
      }
      let image: KernelImage
      do {
        image = try self.image(bytes)
      } catch is LguestError {
        continue
      }
      accepted += 1
      for piece in image.pieces {
        #expect(piece.offset + piece.byteCount <= UInt64(bytes.count))
        #expect(piece.address + piece.byteCount <= image.end)
      }
      #expect(UInt64(image.entry) < image.end)
    }
    #expect(accepted > 0)
  }

  @Test func `what is neither is no kernel`() throws {
    for bytes in [[], [1, 2, 3], [UInt8](repeating: 0, count: 10000), Array("HdrS".utf8)] {
      #expect(throws: LguestError.notAKernel(path: "kernel")) { try image(bytes) }
    }
  }

  @Test func `a file that cannot be read is named`() throws {
    #expect(throws: LguestError.unreadable(path: "/no/such", .notFound)) {
      try GuestFile("/no/such")
    }
    #expect(throws: LguestError.unreadable(path: "/tmp", .isDirectory)) { try GuestFile("/tmp") }
    #expect(throws: LguestError.unreadable(path: "/dev/null", .invalidArgument)) {
      try GuestFile("/dev/null")
    }
  }
}
