// SPDX-License-Identifier: Apache-2.0
//
// FakeGuest: what the host module answers to requests, and what it knows of a guest for that. Its rules are the
// module's (Kernel/module/device.c, boot.c, memory.c, notify.c), as far as recordings of the module show them.

import LguestTransport
import Linux
import VirtioTesting

/// What the guest of a host that a test plays is at this moment.
struct FakeGuest: Sendable {
  private static let page: UInt64 = 4096
  /// Pages are counted in 20 bits.
  private static let pageLimit: UInt64 = 1 << 20
  /// Where a process's addresses end.
  private static let addressEnd: UInt64 = 0x7fff_ffff_f000
  private static let interrupts: UInt64 = 32
  private static let eventfdLimit = 128
  private static let countersSize: UInt64 = 424
  /// Of the first e820 entry's size, and of the initrd's, in the boot parameters.
  private static let memorySize: UInt64 = 0x2d8
  private static let initrdSize: UInt64 = 0x21c
  /// How much memory a page of the first tables maps, without PAE and with it.
  private static let mapped: UInt64 = 4 << 20
  private static let mappedByPAE: UInt64 = 2 << 20

  /// An eventfd that was attached.
  final class Shared: Sendable {
    let descriptor: FileDescriptor
    init(_ number: Int32) throws(Errno) { descriptor = try FileDescriptor.duplicating(number) }
  }

  /// The thread that has made it.
  private(set) var runner: Int32?
  private(set) var eventfds: [UInt64: Shared] = [:]
  /// How many hypercalls it has made; nil where the module is so old that it does not count.
  var hypercalls: UInt64? = 1
  var isDead = false

  /// Answers a request.
  mutating func answer(_ words: [UInt64], cpu: UInt64) -> Result<Int, Errno> {
    guard cpu == 0 else { return .failure(.invalidArgument) }
    guard let request = words.first else { return .failure(.badAddress) }
    if request == 0 { return initialize(words) }
    guard runner != nil else { return .failure(.invalidArgument) }
    if request == 16 { return counters(words) }
    if isDead { return .failure(.notFound) }
    switch request {
    case 2:
      guard words.count > 1 else { return .failure(.badAddress) }
      return words[1] < Self.interrupts ? .success(0) : .failure(.invalidArgument)
    case 4:
      guard words.count > 2 else { return .failure(.badAddress) }
      return setEventfd(words[1], Int32(truncatingIfNeeded: words[2]))
    default: return .failure(.invalidArgument)
    }
  }

  private mutating func initialize(_ words: [UInt64]) -> Result<Int, Errno> {
    guard runner == nil else { return .failure(.busy) }
    guard words.count > 3 else { return .failure(.badAddress) }
    let (base, pages) = (words[1], words[2])
    guard base % Self.page == 0, pages > 0, pages <= Self.pageLimit, base < Self.addressEnd,
      pages * Self.page <= Self.addressEnd - base
    else { return .failure(.invalidArgument) }
    guard let size = OwnMemory.bytes(at: base + Self.memorySize, count: 8),
      let initrd = OwnMemory.bytes(at: base + Self.initrdSize, count: 4)
    else { return .failure(.badAddress) }
    guard
      Self.hasRoom(
        memory: size.littleEndian(at: 0), limit: pages * Self.page,
        initrd: UInt64(initrd.littleEndian(UInt32.self, at: 0)))
    else { return .failure(.invalidArgument) }
    runner = CurrentThread.id
    return .success(24)
  }

  /// Whether the first tables of both kinds, each with a page above them, and two pages of parameters have room.
  private static func hasRoom(memory told: UInt64, limit: UInt64, initrd: UInt64) -> Bool {
    let memory = told == 0 || told > limit ? limit : told
    guard initrd < memory else { return false }
    let tables = (memory + mapped - 1) / mapped + (memory + mappedByPAE - 1) / mappedByPAE
    return memory - initrd >= (tables + 4) * page
  }

  private mutating func setEventfd(_ address: UInt64, _ number: Int32) -> Result<Int, Errno> {
    guard address > 0, address <= UInt64(UInt32.max) else { return .failure(.invalidArgument) }
    if number == -1 {
      return eventfds.removeValue(forKey: address) == nil ? .failure(.notFound) : .success(0)
    }
    guard let kind = OwnFiles.kind(of: number) else { return .failure(.badFileDescriptor) }
    guard kind == .eventfd, let shared = try? Shared(number) else {
      return .failure(.invalidArgument)
    }
    guard eventfds[address] != nil || eventfds.count < Self.eventfdLimit else {
      return .failure(.noSpace)
    }
    eventfds[address] = shared
    return .success(0)
  }

  private func counters(_ words: [UInt64]) -> Result<Int, Errno> {
    guard let hypercalls else { return .failure(.invalidArgument) }
    guard words.count > 2 else { return .failure(.badAddress) }
    let count = min(words[2], Self.countersSize)
    guard OwnMemory.bytes(at: words[1], count: Int(count)) != nil else {
      return .failure(.badAddress)
    }
    if count >= 32, let view = try? GuestView(base: words[1], pages: 1) {
      view.memory.store(hypercalls, at: 24)
    }
    return .success(Int(count))
  }
}
