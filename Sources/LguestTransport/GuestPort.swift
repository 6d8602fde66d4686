// SPDX-License-Identifier: Apache-2.0
//
// GuestPort: an open /dev/lguest, and nothing of what is said over it: so that tests can put a
// recorded one in its place.

package import Backends
package import Linux

/// An open /dev/lguest.
package protocol GuestPort: AnyObject, Sendable {
  /// Makes a request. - Returns: what write(2) returned.
  func request(_ words: [UInt64]) throws(Errno) -> Int

  /// Runs the guest, or reads why it died. A signal interrupts it.
  func read(upTo limit: Int) throws(Errno) -> [UInt8]

  /// How a worker makes a request of two words, again and again.
  func target(_ request: UInt64, _ argument: UInt64) throws(Errno) -> CallTarget
}

/// The real one.
package final class DevicePort: GuestPort {
  private let file: FileDescriptor

  package init(path: String = "/dev/lguest") throws(LguestError) {
    do throws(Errno) {
      file = try FileDescriptor.open(path, .readWrite)
    } catch {
      switch error {
      // Without a driver behind it a device file is as good as none.
      case .notFound, .noSuchDevice, .noSuchDeviceOrAddress: throw .noModule
      default: throw .notOpened(error)
      }
    }
  }

  package func request(_ words: [UInt64]) throws(Errno) -> Int { try file.writeWords(words) }

  package func read(upTo limit: Int) throws(Errno) -> [UInt8] { try file.readOnce(upTo: limit) }

  package func target(_ request: UInt64, _ argument: UInt64) throws(Errno) -> CallTarget {
    CallTarget(writing: (request, argument, 0), byteCount: 16, to: try file.duplicate())
  }
}
