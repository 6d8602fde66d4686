// SPDX-License-Identifier: Apache-2.0

/// Where an entropy device takes its bytes from, and how many.
public struct RngOptions: Sendable {
  /// A source of random bytes.
  public enum Source: Sendable, Equatable {
    /// The host kernel's generator (getrandom(2)).
    case kernel
    /// A file, a device such as `/dev/hwrng`, or a FIFO that others write to. It is read once from its
    /// start: a regular file that is used up is not read again, and requests wait until it grows.
    case file(String)
  }

  /// Where the bytes come from.
  public var source = Source.kernel

  /// How many bytes a request is given at most; a larger buffer is filled up to here, and its driver told so.
  ///
  /// This bounds the work of one request. Linux' driver asks for a few dozen bytes.
  public var requestLimit = 65536

  /// Told in one line what went wrong with the source, at most once a second, on the queue's thread.
  public var onTrouble: (@Sendable (String) -> Void)?

  /// The kernel's generator, 64 KiB a request, nobody told of trouble.
  public init() {}
}
