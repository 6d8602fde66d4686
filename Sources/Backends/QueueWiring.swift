// SPDX-License-Identifier: Apache-2.0
//
// QueueWiring: how a queue and its driver wake each other, in the transport's terms.

public import Linux
public import VirtioRing

/// A call: bytes to write to a descriptor, which interrupt the driver.
///
/// Every transport's call is of this form: 8 bytes to an eventfd or to a socket, a request word and an
/// interrupt number to `/dev/lguest`, a message to a front-end's channel.
public struct CallTarget: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  private let words: (UInt64, UInt64, UInt64)
  private let byteCount: Int
  private let onFull: (@Sendable () -> Void)?

  /// Adds one to an eventfd, or writes those 8 bytes to a stream.
  ///
  /// - Parameter descriptor: should be non-blocking: where it is full, the driver has been called.
  public init(signalling descriptor: consuming FileDescriptor) {
    self.descriptor = descriptor
    words = (1, 0, 0)
    byteCount = 8
    onFull = nil
  }

  /// Writes a message of up to 24 bytes.
  ///
  /// - Parameters:
  ///   - words: the message.
  ///   - byteCount: how much of them it is.
  ///   - descriptor: where to.
  ///   - onFull: told when there was no room, for a descriptor that others write to as well: what is
  ///     waiting there to be seen may be theirs. On the queue's thread.
  /// - Precondition: `byteCount` is 1 to 24.
  public init(
    writing words: (UInt64, UInt64, UInt64), byteCount: Int,
    to descriptor: consuming FileDescriptor, onFull: (@Sendable () -> Void)? = nil
  ) {
    precondition(byteCount > 0 && byteCount <= 24)
    self.descriptor = descriptor
    self.words = words
    self.byteCount = byteCount
    self.onFull = onFull
  }

  /// Makes the call. A driver that is gone or has been called already is not an error.
  public borrowing func send() {
    do throws(Errno) {
      try descriptor.writeMessage([words.0, words.1, words.2], byteCount: byteCount)
    } catch .again {
      // No room: a call is waiting to be seen, unless others have filled it.
      onFull?()
    } catch .interrupted {
      onFull?()
    } catch {
      // Broken: the transport learns of it by itself.
    }
  }
}

/// How the driver of a queue is heard and called.
public struct QueueWiring: ~Copyable, Sendable {
  /// Readable when the driver has kicked: an eventfd or a stream, read in full. nil: no kick ever comes,
  /// and the queue is looked at from time to time.
  public var kick: FileDescriptor?
  /// Whether the kick is an eventfd of this process's own whose reads wait. The worker then sleeps in
  /// read(2), one system call where poll(2) and a read would be two.
  public internal(set) var sleepsInKick: Bool
  /// Calls the driver. nil: the driver looks by itself.
  public var call: CallTarget?
  /// Told once when the driver has broken its ring.
  public var onFault: (@Sendable (RingError) -> Void)?

  /// Wires a queue.
  public init(
    kick: consuming FileDescriptor?, call: consuming CallTarget?,
    onFault: (@Sendable (RingError) -> Void)? = nil
  ) {
    self.kick = kick
    sleepsInKick = false
    self.call = call
    self.onFault = onFault
  }

  /// Wires a queue whose kicks come through an eventfd that this process has made, and that only the
  /// queue's worker reads.
  ///
  /// - Parameters:
  ///   - kick: an eventfd without O_NONBLOCK.
  ///   - call: calls the driver, or nil.
  ///   - onFault: told once when the driver has broken its ring.
  public init(
    sleepingIn kick: consuming FileDescriptor, call: consuming CallTarget?,
    onFault: (@Sendable (RingError) -> Void)? = nil
  ) {
    self.kick = consume kick
    sleepsInKick = true
    self.call = call
    self.onFault = onFault
  }
}

extension QueueWiring {
  /// The kick descriptor's number, or -1.
  var kickDescriptor: Int32 {
    switch kick {
    case .some(let kick): kick.raw
    case .none: -1
    }
  }

  /// The eventfd in which the worker sleeps, for those who wake it, or nil where it polls.
  borrowing func ownKick() throws(Errno) -> EventFD? {
    guard sleepsInKick else { return nil }
    switch kick {
    case .some(let kick): return EventFD(adopting: try kick.duplicate())
    case .none: return nil
    }
  }

  /// Takes the kicks that have come.
  borrowing func drainKick() -> Wakeups {
    switch kick {
    case .some(let kick):
      do throws(Errno) {
        return try kick.consumeWakeups()
      } catch {
        return .closed
      }
    case .none: return .closed
    }
  }
}
