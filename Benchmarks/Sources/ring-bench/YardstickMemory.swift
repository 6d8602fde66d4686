// SPDX-License-Identifier: Apache-2.0
//
// YardstickMemory: the C ring, as one compiler or another has built it. The fence of this program.

import CRing
import Glibc
import VirtioRing

/// A build of the C yardstick, loaded from a shared object.
@safe
final class Yardstick {
  fileprivate typealias New =
    @convention(c) (
      Bool, UInt16, Bool, UInt, UInt, UInt, UnsafePointer<cring_region>?, Int
    ) -> OpaquePointer?
  fileprivate typealias Free = @convention(c) (OpaquePointer?) -> Void
  fileprivate typealias Serve = @convention(c) (OpaquePointer?, Int32, UInt32) -> Int32

  fileprivate let new: New
  fileprivate let free: Free
  fileprivate let serve: Serve

  /// - Parameter path: of the shared object.
  init?(path: String) {
    // SAFETY: the library is built from cring.c, whose header has these three signatures; it stays
    // loaded until the program ends.
    guard let library = unsafe dlopen(path, RTLD_NOW),
      let new = unsafe dlsym(library, "cring_new"),
      let free = unsafe dlsym(library, "cring_free"),
      let serve = unsafe dlsym(library, "cring_serve")
    else { return nil }
    unsafe self.new = unsafeBitCast(new, to: New.self)
    unsafe self.free = unsafeBitCast(free, to: Free.self)
    unsafe self.serve = unsafeBitCast(serve, to: Serve.self)
  }
}

/// A queue of the yardstick's.
@safe
final class YardstickQueue {
  private let yardstick: Yardstick
  private let ring: OpaquePointer
  private let regions: UnsafeMutablePointer<cring_region>
  private let memory: GuestMemory

  init?(_ yardstick: Yardstick, _ configuration: QueueConfiguration, memory: GuestMemory) {
    let size = UInt64(configuration.size)
    let areas: [(UInt64, UInt64)]
    let isPacked: Bool
    switch configuration.layout {
    case .split(let descriptors, let available, let used):
      areas = [(descriptors, 16 * size), (available, 6 + 2 * size), (used, 6 + 8 * size)]
      isPacked = false
    case .packed(let descriptors, let driverEvent, let deviceEvent):
      areas = [(descriptors, 16 * size), (driverEvent, 4), (deviceEvent, 4)]
      isPacked = true
    }
    let hosts = areas.compactMap { memory.hostAddress(of: $0.0, byteCount: $0.1) }
    guard hosts.count == 3 else { return nil }
    self.yardstick = yardstick
    self.memory = memory
    let count = memory.regionCount
    let regions = UnsafeMutablePointer<cring_region>.allocate(capacity: count)
    for index in 0..<count {
      let region = memory[index]
      // SAFETY: index < count, the capacity.
      unsafe (regions + index).initialize(
        to: cring_region(
          guest_address: region.guestAddress, byte_count: region.byteCount,
          host_address: region.hostAddress))
    }
    let indirect = configuration.features.contains(.indirectDescriptors)
    guard
      // SAFETY: the areas and regions were looked up just now, and this object keeps them.
      let ring = unsafe yardstick.new(
        isPacked, configuration.size, indirect, hosts[0], hosts[1], hosts[2], regions, count)
    else {
      unsafe regions.deallocate()
      return nil
    }
    unsafe self.regions = regions
    unsafe self.ring = ring
  }

  deinit {
    unsafe yardstick.free(ring)
    unsafe regions.deallocate()
  }

  /// Takes and gives back up to `limit` chains. - Returns: how many, or -1 for a broken ring.
  func serve(limit: Int, written: UInt32) -> Int {
    // SAFETY: the ring is alive as long as this object.
    Int(unsafe yardstick.serve(ring, Int32(limit), written))
  }
}
