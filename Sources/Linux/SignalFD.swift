// SPDX-License-Identifier: Apache-2.0
//
// Signals as events in the control thread's loop: no handler, nothing interrupted.

import CLinux
import Glibc

/// A descriptor that is readable while a signal of a set is pending (signalfd(2)).
public struct SignalFD: ~Copyable, Sendable {
  /// The descriptor, for polling.
  public let descriptor: FileDescriptor

  /// Blocks the signals in the calling thread and takes them here instead.
  ///
  /// Call it before any other thread is started: a signal to the process goes to any thread that does
  /// not block it, and threads inherit what is blocked.
  public init(_ signals: SignalSet) throws(Errno) {
    signals.block()
    var set = signals.storage
    descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: false) {
        // SAFETY: the call reads a local of the type that it wants.
        unsafe clinux_signalfd(&set)
      })
  }

  /// Takes the next pending signal; nil when there is none. Never waits.
  public borrowing func next() throws(Errno) -> Signal? {
    // One struct signalfd_siginfo, whose first field is the signal's number.
    var information = InlineArray<32, UInt32>(repeating: 0)
    do throws(Errno) {
      _ = try systemCall(retryOnInterrupt: true) {
        // SAFETY: at most 128 bytes are written, to a local of 128 bytes.
        unsafe read(descriptor.raw, &information, 128)
      }
    } catch .again {
      return nil
    }
    return Signal(rawValue: Int32(bitPattern: information[0]))
  }
}
