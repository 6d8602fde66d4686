// SPDX-License-Identifier: Apache-2.0
//
// BlockRing: what UringEngine asks of a submission ring. A protocol so that tests can complete requests in
// any order and with any result; the engine is generic over it, and nothing is dispatched at run time.

/// The end of something that a ring was asked for.
struct RingCompletion {
  /// What the request was prepared with.
  var tag: Int
  /// Bytes transferred, or 0 for a sync, or events of a watch; an errno number, negated, for a failure.
  /// EAGAIN: the ring has not taken the request, and nothing of it was done.
  var result: Int32
}

/// A submission ring with one file. Each prepared request gives one completion with its tag.
protocol BlockRing: ~Copyable, Sendable {
  /// Binds the ring to the calling thread. Called before anything else, and again each time that the
  /// engine's body is entered.
  mutating func begin()

  /// Prepares a transfer of a window's first bytes. The window must not change until it completes.
  mutating func read(_ window: borrowing SegmentWindow, at offset: Int, tag: Int)

  /// Prepares a transfer, as above.
  mutating func write(_ window: borrowing SegmentWindow, at offset: Int, tag: Int)

  /// Prepares an fdatasync.
  mutating func sync(tag: Int)

  /// Prepares a wait until a descriptor is readable, or broken.
  mutating func watch(_ descriptor: Int32, tag: Int)

  /// Prepares to end a watch, which then completes with a failure. Itself it completes with
  /// `ignoredTag`.
  mutating func unwatch(tag: Int, ignoredTag: Int)

  /// Submits what was prepared.
  ///
  /// - Parameters:
  ///   - wait: whether to sleep until there is a completion.
  ///   - timeout: how long at most; nil for ever.
  mutating func enter(wait: Bool, timeout: Duration?)

  /// Takes a completion.
  mutating func next() -> RingCompletion?
}
