// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Testing

@testable import Linux

/// Reads one byte as a stranger's access would: the compiler must not leave it out.
@inline(never)
private func touch(_ address: UInt) -> UInt8 {
  // SAFETY: the tests touch what they mapped.
  unsafe UnsafeMutableRawPointer(bitPattern: address)?.load(as: UInt8.self) ?? 0
}

@inline(never)
private func poke(_ address: UInt, _ byte: UInt8) {
  // SAFETY: the tests touch what they mapped.
  unsafe UnsafeMutableRawPointer(bitPattern: address)?.storeBytes(of: byte, as: UInt8.self)
}

/// Whether an address is mapped at all, asked of the kernel, not by touching it.
private func isMapped(_ address: UInt) -> Bool {
  let page = UInt(MemoryMapping.basePageSize)
  // SAFETY: msync changes nothing here.
  return unsafe msync(UnsafeMutableRawPointer(bitPattern: address / page * page), 1, MS_ASYNC) == 0
}

/// Whether the kernel can write one byte there: an access that fails and never faults.
private func isWritable(_ address: UInt) throws -> Bool {
  let zero = try FileDescriptor.open("/dev/zero", .readOnly)
  // SAFETY: the kernel checks the address.
  return unsafe read(zero.raw, UnsafeMutableRawPointer(bitPattern: address), 1) == 1
}

/// What the kernel says of the memory that begins at an address (VmFlags of proc_pid_smaps(5)).
private func flags(ofMemoryAt address: UInt) throws -> [Substring] {
  let bytes = try FileSystem.contents(of: "/proc/self/smaps", limit: 64 << 20)
  let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
  let start = String(address, radix: 16) + "-"
  guard let first = lines.firstIndex(where: { $0.hasPrefix(start) }) else { return [] }
  return lines[first...].first { $0.hasPrefix("VmFlags:") }?.split(separator: " ") ?? []
}

private func contained(_ file: borrowing FileDescriptor, _ length: Int) throws -> SharedMapping {
  try SharedMapping(containingFaultsIn: MemoryMapping(file, length: length))
}

@Suite(.timeLimit(.minutes(20))) struct MappingTests {
  @Test func sharedMappingOfAFileIsTheFile() throws {
    let file = try Memfd.create(name: "shared", size: 8192)
    let mapping = try MemoryMapping(file, offset: 4096, length: 100)
    #expect(mapping.length == 100)
    poke(mapping.address + 5, 42)
    var bytes: [UInt8] = [0]
    _ = try file.read(into: &bytes, at: 4101)
    #expect(bytes == [42])
  }

  @Test func privateMappingOfAFileKeepsItsWritesToItself() throws {
    let file = try Memfd.create(name: "private", size: 4096)
    let mapping = try MemoryMapping(file, length: 4096, shared: false)
    poke(mapping.address, 42)
    var bytes: [UInt8] = [9]
    _ = try file.read(into: &bytes, at: 0)
    #expect(bytes == [0])
    #expect(touch(mapping.address) == 42)
  }

  @Test func badRequestsAreErrors() throws {
    let file = try Memfd.create(name: "bad", size: 4096)
    #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping(file, length: 0) }
    #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping(file, length: -1) }
    #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping(file, length: .max) }
    #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping(file, offset: 1, length: 1) }
    #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping(file, offset: .max, length: 1) }
    #expect(throws: Errno.noMemory) { _ = try MemoryMapping(file, length: .max / 2) }
    #expect(throws: Errno.noSuchDevice) { _ = try MemoryMapping(EventFD().descriptor, length: 1) }
  }

  @Test func guardPagesStandOnBothSides() throws {
    let file = try Memfd.create(name: "guarded", size: 8192)
    let mapping = try MemoryMapping(file, length: 5000, guardPages: true)
    poke(mapping.address, 1)
    poke(mapping.address + 8191, 1)
    #expect(try !isWritable(mapping.address - 1))
    #expect(try isWritable(mapping.address))
    #expect(try isWritable(mapping.address + 8191))
    #expect(try !isWritable(mapping.address + 8192))
    #expect(isMapped(mapping.address - 1))
    #expect(isMapped(mapping.address + 8192))
  }

  @Test func largeMemoryWithGuardPagesBeginsAtALargePage() throws {
    let mapping = try MemoryMapping(anonymous: 5 << 20, guardPages: true)
    #expect(mapping.address % (2 << 20) == 0)
    #expect(try !isWritable(mapping.address - 1))
    #expect(try isWritable(mapping.address + (5 << 20) - 1))
    #expect(try !isWritable(mapping.address + (5 << 20)))
  }

  @Test func adviceOfLargePagesIsTaken() throws {
    let mapping = try MemoryMapping(anonymous: 4 << 20, guardPages: true)
    mapping.adviseHugePages()
    poke(mapping.address, 1)
    let isKnown = FileSystem.exists("/sys/kernel/mm/transparent_hugepage")
    #expect(try flags(ofMemoryAt: mapping.address).contains("hg") == isKnown)
  }

  @Test func failedMappingLeavesNoReservation() throws {
    let event = try EventFD()
    let before = try addressSpace()
    for _ in 0..<100 {
      #expect(throws: Errno.noSuchDevice) {
        _ = try MemoryMapping(event.descriptor, length: 1 << 30, guardPages: true)
      }
    }
    // Tests that run beside this one take megabytes; a leak would be 100 GiB.
    #expect(try addressSpace() < before + (50 << 30))
  }

  @Test func anonymousMemoryIsZeroAndGoesWithItsOwner() throws {
    let address = try anonymousAddress()
    // Another thread may map there at once, but not a thousand times in a row.
    let gone = try (0..<1000).contains { _ in try !isMapped(anonymousAddress()) }
    #expect(gone || !isMapped(address))
  }

  @Test func protectionIsObeyed() throws {
    let mapping = try MemoryMapping(anonymous: 4096, protection: .read)
    #expect(touch(mapping.address) == 0)
    #expect(try !isWritable(mapping.address))
  }

  @Test func truncatedFileIsContainedAndOnlyItsMappingIsPoisoned() throws {
    let file = try Memfd.create(name: "cut", size: 1 << 20)
    let other = try Memfd.create(name: "whole", size: 1 << 20)
    let cut = try contained(file, 1 << 20)
    let whole = try contained(other, 1 << 20)
    poke(whole.address, 77)
    poke(cut.address, 66)
    let before = SharedMapping.containedFaultCount
    try file.truncate(to: 4096)
    #expect(!cut.isPoisoned)

    // Two threads touch different pages again and again; neither may crash.
    let first = try WorkerThread<UInt8>.start(name: "first", state: cut) { mapping in
      (1..<256).reduce(0) { $0 | touch(mapping.address + UInt($1) * 4096) }
    }
    let second = try WorkerThread<UInt8>.start(name: "second", state: cut) { mapping in
      for page in (1..<256).reversed() { poke(mapping.address + UInt(page) * 4096 + 9, 1) }
      return 0
    }
    #expect(first.join() == 0)
    _ = second.join()
    #expect(cut.isPoisoned)
    #expect(!whole.isPoisoned)
    #expect(touch(whole.address) == 77)
    #expect(SharedMapping.containedFaultCount > before)
    poke(cut.address + 8192, 5)
    #expect(touch(cut.address + 8192) == 5)
  }

  @Test func placeInTheTableIsUsedAgainAndStartsClean() throws {
    for _ in 0..<5000 {
      let file = try Memfd.create(name: "again", size: 4096)
      let mapping = try contained(file, 4096)
      #expect(!mapping.isPoisoned)
      try file.truncate(to: 0)
      #expect(touch(mapping.address) == 0)
      #expect(mapping.isPoisoned)
    }
  }

  @Test func tableThatIsFullIsAnErrorUntilAPlaceIsFree() async {
    // In a process of its own: the table is everybody's.
    await #expect(processExitsWith: .success) {
      let file = try Memfd.create(name: "many", size: 4096)
      var mappings: [SharedMapping] = []
      for _ in 0..<4096 { mappings.append(try contained(file, 4096)) }
      #expect(throws: Errno.noSpace) { _ = try contained(file, 4096) }
      mappings.removeLast()
      mappings.append(try contained(file, 4096))
      // The last place is contained as the first one is.
      try file.truncate(to: 0)
      #expect(touch(mappings[4095].address) == 0)
      #expect(mappings[4095].isPoisoned)
      #expect(!mappings[0].isPoisoned)
    }
  }

  @Test func systemCallOnACutMappingFailsAndDoesNotFault() throws {
    let file = try Memfd.create(name: "efault", size: 4096)
    let mapping = try contained(file, 4096)
    try file.truncate(to: 0)
    #expect(try !isWritable(mapping.address))
    #expect(!mapping.isPoisoned)
  }

  @Test func hugePagesAreContainedToo() throws {
    // No huge page need exist: without a reservation the first touch finds none and raises SIGBUS.
    let file = try Memfd.create(name: "huge", size: 4 << 20, hugePages: true)
    let size = try file.status().blockSize
    // SAFETY: fresh address space, unmapped at the end; registered meanwhile.
    let base = unsafe mmap(
      nil, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.raw, 0)
    try #require(unsafe base != MAP_FAILED)
    let address = UInt(bitPattern: base)
    let slot = clinux_sigbus_register(address, 2 * size, size)
    try file.truncate(to: 0)
    #expect(touch(address + UInt(size) + 12345) == 0)
    #expect(clinux_sigbus_poisoned(slot) == 1)
    clinux_sigbus_unregister(slot)
    #expect(unsafe munmap(base, 2 * size) == 0)
  }

  @Test func realFaultStillEndsTheProcess() async {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      let file = try Memfd.create(name: "real", size: 4096)
      let kept = try contained(file, 4096)
      let uncontained = try MemoryMapping(file, length: 4096)
      try file.truncate(to: 0)
      _ = touch(kept.address)
      precondition(kept.isPoisoned)
      _ = touch(uncontained.address)
    }
  }

  @Test func sigbusThatSomebodySentStillEndsTheProcess() async {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      let kept = try contained(Memfd.create(name: "sent", size: 4096), 4096)
      kill(getpid(), SIGBUS)
      sleep(120)
      precondition(!kept.isPoisoned)
    }
  }

  @Test func sharedMappingLivesAsLongAsSomebodyHoldsIt() throws {
    let file = try Memfd.create(name: "held", size: 4096)
    var holders: [SharedMapping] = []
    do {
      let mapping = SharedMapping(try MemoryMapping(file, length: 4096))
      holders = [mapping, mapping]
    }
    holders.removeLast()
    poke(holders[0].address, 3)
    #expect(touch(holders[0].address) == 3)
    #expect(holders[0].length == 4096)
    #expect(!holders[0].isPoisoned)
  }
}

/// The address of an anonymous mapping that is gone again.
private func anonymousAddress() throws -> UInt {
  let mapping = try MemoryMapping(anonymous: 1 << 20)
  #expect(touch(mapping.address + 1 << 19) == 0)
  return mapping.address
}

/// How many bytes of address space this process has mapped.
private func addressSpace() throws -> Int {
  let text = try FileDescriptor.open("/proc/self/statm").read(upTo: 100)
  let pages = String(decoding: text.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
  return try #require(Int(pages)) * MemoryMapping.basePageSize
}
