// SPDX-License-Identifier: Apache-2.0
//
// Kicks and calls over a descriptor that somebody else made. Most are eventfds, but a front-end may
// hand over anything that can be read and written: pipes and socket pairs have been seen. What one
// wake-up looks like on the wire: the eight bytes of a 64-bit one, in host order.
//
// Whoever has such a descriptor too can make it wait where we want it not to: O_NONBLOCK belongs to
// the open file. So these calls, unlike others, are not made again when a signal interrupts them, and
// `WorkerThread.nudge(_:)` gets a thread out of them.

import Glibc

/// What `consumeWakeups()` found.
public enum Wakeups: Sendable, Equatable {
  /// At least one had arrived, and is consumed. Of a pipe or socket at most 16 are consumed at once.
  case arrived
  /// None had arrived.
  case none
  /// The other end is gone: there will be no more. Polling further would report it for ever.
  case closed
}

extension FileDescriptor {
  /// Reads one 64-bit word in host order, as an eventfd or timerfd gives it.
  ///
  /// - Returns: the word, nil when there is none and the descriptor does not wait.
  /// - Throws: `.connectionReset` when the other end is gone or sent less than a word.
  public borrowing func readWord() throws(Errno) -> UInt64? {
    var word: UInt64 = 0
    do throws(Errno) {
      let count = try systemCall(retryOnInterrupt: true) {
        // SAFETY: eight bytes are written at most, into a local of eight bytes.
        unsafe Glibc.read(raw, &word, MemoryLayout<UInt64>.size)
      }
      guard count == MemoryLayout<UInt64>.size else { throw Errno.connectionReset }
      return word
    } catch .again {
      return nil
    }
  }

  /// Writes one 64-bit word in host order.
  ///
  /// - Returns: false when there is no room for it and the descriptor does not wait, or was nudged.
  @discardableResult
  public borrowing func writeWord(_ word: UInt64) throws(Errno) -> Bool {
    var word = word
    do throws(Errno) {
      _ = try systemCall(retryOnInterrupt: false) {
        // SAFETY: eight bytes are read, from a local of eight bytes.
        unsafe Glibc.write(raw, &word, MemoryLayout<UInt64>.size)
      }
      return true
    } catch .again {
      return false
    } catch .interrupted {
      return false
    }
  }

  /// Wakes whoever waits at the other end, on any kind of descriptor.
  ///
  /// When there is no room, a wake-up is already waiting to be seen, which is as good. On a pipe or
  /// socket without a reader it also raises SIGPIPE in a thread that does not block it: see
  /// `Signal.ignore()`.
  ///
  /// - Throws: `.brokenPipe`, `.connectionReset` when the other end is gone.
  public borrowing func sendWakeup() throws(Errno) {
    _ = try writeWord(1)
  }

  /// Writes the first bytes of three words: a short message that makes a call in a transport's own form.
  ///
  /// - Precondition: `byteCount` is 0 to 24.
  public borrowing func writeMessage(
    _ words: InlineArray<3, UInt64>, byteCount: Int
  ) throws(Errno) {
    precondition(0...24 ~= byteCount, "three words have 24 bytes")
    var words = words
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: at most 24 bytes are read, from a local of 24 bytes.
      unsafe Glibc.write(raw, &words, byteCount)
    }
  }

  /// Consumes the wake-ups that have arrived, in one read.
  ///
  /// Never waits after a poll that said the descriptor is readable. Without such a poll, and without
  /// O_NONBLOCK, it waits for the first one.
  public borrowing func consumeWakeups() throws(Errno) -> Wakeups {
    var bytes = InlineArray<128, UInt8>(repeating: 0)
    do throws(Errno) {
      let count = try systemCall(retryOnInterrupt: false) {
        // SAFETY: at most as many bytes are written as the local has.
        unsafe Glibc.read(raw, &bytes, MemoryLayout.size(ofValue: bytes))
      }
      return count == 0 ? .closed : .arrived
    } catch .again {
      return .none
    } catch .interrupted {
      return .none
    } catch .connectionReset {
      return .closed
    }
  }
}
