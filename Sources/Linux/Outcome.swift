// SPDX-License-Identifier: Apache-2.0

/// Where what one thread has made waits for another.
///
/// Unchecked: the maker writes once, and the taker reads once, after something that orders the two: the end of the
/// maker's thread, or a semaphore.
final class Outcome<Value: ~Copyable & Sendable>: @unchecked Sendable {
  private var value: Value?

  func put(_ value: consuming Value) {
    self.value = consume value
  }

  func take() -> Value {
    guard let value = value.take() else { preconditionFailure("the other thread has made nothing") }
    return value
  }
}
