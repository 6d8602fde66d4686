// SPDX-License-Identifier: Apache-2.0
//
// ToyVMM: a virtual machine monitor with no machine in it, which links lgdev's devices: a disk and an
// entropy device behind a transport of its own (ToyTransport.swift), and the guest's drivers
// (ToyDriver.swift). It imports what every user of the package can import, and holds no `unsafe`.
//
// It says what it does, and ends with 0 where all of it went as it should.

import Backends
import Linux
import VirtioRing
import VirtioTesting

@main
enum ToyVMM {
  /// What did not go as it should.
  struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
  }

  static func main() throws {
    // Guest memory: the monitor's own mapping, seen by the guest from address 0. A real one maps the very
    // pages that it gives to KVM.
    let mapping = SharedMapping(try MemoryMapping(anonymous: 16 << 20, guardPages: true))
    let memory = try GuestMemory([MappedGuestRegion(mapping, guestAddress: 0)])
    var space = GuestSpace(0..<UInt64(mapping.length))

    try useEntropy(memory, &space)
    try useDisk(memory, &space)
    print("all went as it should")
  }

  /// An entropy device, on a packed ring.
  private static func useEntropy(_ memory: GuestMemory, _ space: inout GuestSpace) throws {
    let device = try RngDevice(name: "rng0")
    let transport = try ToyTransport(device, memory: memory)
    var driver = try ToyDriver(
      transport, memory: memory, space: &space, features: [.version1, .packedRing, .eventIndex])
    let bytes = try driver.entropy(32)
    try check(bytes.count == 32 && Set(bytes).count > 4, "32 random bytes")
    transport.reset()
    try check(device.statistics[0].bytesToGuest == 32, "the device has counted them")
  }

  /// A disk, on a split ring; then a guest that breaks the ring, and begins anew.
  private static func useDisk(_ memory: GuestMemory, _ space: inout GuestSpace) throws {
    // A memory file stands for the disk image, so that nothing is left behind.
    let image = try Memfd.create(name: "disk", size: 1 << 20)
    var options = BlockOptions(path: "/proc/self/fd/\(image.raw)")
    options.serial = "TOY"
    options.onTrouble = { line in print("disk0: \(line)") }
    let transport = try ToyTransport(
      try BlockDevice(name: "disk0", options: options), memory: memory)
    let capacity = transport.configuration(at: 0, count: 8).reversed().reduce(UInt64(0)) {
      $0 << 8 | UInt64($1)
    }
    try check(capacity == 2048, "the disk has 2048 sectors")

    let features: Features = [.version1, .blockFlush, .eventIndex]
    var driver = try ToyDriver(transport, memory: memory, space: &space, features: features)
    let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try driver.write(pattern, sector: 5)
    try driver.flush()
    try check(try driver.read(sector: 5) == pattern, "the guest reads what it has written")
    var stored = [UInt8](repeating: 0, count: 512)
    try check(
      try image.read(into: &stored, at: 5 * 512) == 512 && stored == pattern,
      "the host finds it in the image")

    try driver.breakRing()
    try check(transport.isBroken, "a ring that the guest has broken is noticed, and nothing else")
    transport.reset()
    var again = try ToyDriver(transport, memory: memory, space: &space, features: features)
    try check(try again.read(sector: 5) == pattern, "after a reset the disk works again")
  }

  private static func check(_ holds: Bool, _ what: String) throws {
    guard holds else { throw Failure("this does not hold: \(what)") }
    print(what)
  }
}
