// SPDX-License-Identifier: Apache-2.0
//
// GuestGate: what is said over /dev/lguest (Kernel/include/lguest_abi.h). Words are native, 8 bytes.

import Backends
import Linux

/// A guest, as its host module presents it. It is used by the thread that made `initialize`.
struct GuestGate {
  private enum Request {
    static let initialize: UInt64 = 0
    static let interrupt: UInt64 = 2
    static let eventfd: UInt64 = 4
    static let counters: UInt64 = 16
  }

  /// The number of an eventfd that means none.
  private static let noDescriptor = UInt64.max
  /// What `initialize` returns: the bytes of its arguments.
  private static let argumentByteCount = 24
  /// The longest reason of a death that is shown.
  private static let reasonLimit = 1024
  /// ERESTART, which the C library does not show.
  private static let restart = Errno(rawValue: 85)

  private let port: any GuestPort

  init(_ port: any GuestPort) { self.port = port }

  /// Makes the guest, which runs from then on whenever this thread calls `run()`.
  ///
  /// - Parameters:
  ///   - base: where guest-physical address 0 is in this process.
  ///   - pageLimit: the first page that the guest may not touch.
  ///   - entry: where it starts.
  func initialize(base: UInt, pageLimit: UInt64, entry: UInt32) throws(LguestError) {
    let result: Int
    do throws(Errno) {
      result = try port.request(
        [Request.initialize, UInt64(base), pageLimit, UInt64(entry)])
    } catch {
      throw .refused(error)
    }
    guard result == Self.argumentByteCount else {
      throw .wrongInterface("it took \(result) bytes of the guest's description, not 24")
    }
  }

  /// Looks, by way of a guest that is never run, whether the module takes what this program says. What it refuses, it
  /// refuses to that guest, and is not looked at.
  ///
  /// - Throws: an answer that the module's interface does not have, and a lack of memory.
  func probe() throws(LguestError) {
    let size = GuestSizes.probeMemory
    let memory = try RunMemory(byteCount: size, name: nil)
    do throws(LguestError) {
      try initialize(base: memory.base, pageLimit: size / GuestSizes.page, entry: 0)
    } catch {
      guard case .refused = error else { throw error }
    }
  }

  /// Why the guest does not run at this moment.
  enum Exit: Equatable {
    /// It has notified an address that no eventfd is attached to.
    case notified(UInt64)
    /// A signal came.
    case interrupted
    /// It wants to be started again.
    case restart
    /// It is dead: why, in its own words or the host's.
    case died(String)
    /// The host does not run it.
    case failed(Errno)
    /// An answer that makes no sense.
    case strange(byteCount: Int)
  }

  /// Runs the guest until something happens.
  func run() -> Exit {
    do throws(Errno) {
      let bytes = try port.read(upTo: MemoryLayout<UInt64>.size)
      guard bytes.count == MemoryLayout<UInt64>.size else {
        return .strange(byteCount: bytes.count)
      }
      return .notified(bytes.littleEndian(UInt64.self, at: 0))
    } catch {
      switch error {
      case .interrupted: return .interrupted
      case Self.restart: return .restart
      case .notFound: return .died(reason())
      default: return .failed(error)
      }
    }
  }

  /// Why the guest died. What is not printable in it is not printed: much of it is the guest's.
  private func reason() -> String {
    do throws(Errno) {
      let text = try port.read(upTo: Self.reasonLimit).prefix { $0 != 0 }
      guard !text.isEmpty else { return "it does not say why" }
      let printable = text.map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
      return String(decoding: printable, as: UTF8.self)
    } catch {
      return "nobody knows why: \(error)"
    }
  }

  /// Whether the guest, dead or not, has ever called its host, as the first thing of each kernel for lguest is to do; nil where
  /// the module does not tell.
  func hasCalled() -> Bool? {
    // Of struct lguest_counters: the trapped hypercalls, and behind them those of the ring.
    let offset = 24
    let count = 40
    guard let page = try? RunMemory(byteCount: GuestSizes.page, name: nil),
      let told = try? port.request([Request.counters, UInt64(page.base), UInt64(count)]),
      told == count, let calls = page.read(at: UInt64(offset), count: count - offset)
    else { return nil }
    return calls.contains { $0 != 0 }
  }

  /// Lets a notify of an address signal an eventfd, and not come out of `run()`.
  func attach(_ descriptor: borrowing FileDescriptor, to address: UInt64) throws(Errno) {
    _ = try port.request([Request.eventfd, address, UInt64(descriptor.raw)])
  }

  /// Lets notifies of an address come out of `run()` again. A guest that is dead makes none.
  func detach(from address: UInt64) {
    _ = try? port.request([Request.eventfd, address, Self.noDescriptor])
  }

  /// How a worker interrupts the guest.
  func interrupt(_ number: UInt64) throws(Errno) -> CallTarget {
    try port.target(Request.interrupt, number)
  }
}
