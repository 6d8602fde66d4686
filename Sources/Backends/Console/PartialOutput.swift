// SPDX-License-Identifier: Apache-2.0
//
// PartialOutput: a chain of output that was given back to the ring with some of its bytes sent.
//
// The same driver offers that chain again, and its output goes on behind those bytes. A new driver must lose
// nothing of its first chain. Which of the two comes, transports cannot always know: a guest that dies in its first
// chain leaves its rings at their beginning, just as one that was only paused. So the chain itself is recognised,
// by its place in the ring, its id, its size, and the last bytes that were sent of it. In doubt nothing is left
// out: output that is shown twice is better than output that is lost.

import Synchronization
import VirtioRing

/// Which chain was stopped in the middle, and how far it had got.
struct PartialOutput: Sendable {
  /// How many of the bytes that were sent last are compared.
  private static let tailLimit = 512

  /// How many of its bytes were sent.
  let byteCount: Int
  private let position: RingPosition
  private let id: UInt16
  private let readableBytes: Int
  private let tail: [UInt8?]

  /// - Parameters:
  ///   - chain: one that is in flight.
  ///   - byteCount: how many of its bytes were sent.
  ///   - position: where the queue stands, with the chain taken.
  /// - Returns: nil where nothing was sent.
  init?(of chain: borrowing Chain, sent byteCount: Int, at position: RingPosition) {
    guard byteCount > 0 else { return nil }
    self.byteCount = byteCount
    self.position = position
    id = chain.id
    readableBytes = chain.readableBytes
    tail = Self.tail(of: chain, before: byteCount)
  }

  /// Whether this is about that chain, with the queue at that position.
  func isOf(_ chain: borrowing Chain, at position: RingPosition) -> Bool {
    position == self.position && chain.id == id && chain.readableBytes == readableBytes
      && Self.tail(of: chain, before: byteCount) == tail
  }

  private static func tail(of chain: borrowing Chain, before end: Int) -> [UInt8?] {
    (end - min(end, tailLimit)..<end).map { chain.load(UInt8.self, at: $0) }
  }
}

/// What a console keeps of its transmit queue while no worker serves it.
final class ConsoleProgress: Sendable {
  private let partial = Mutex<PartialOutput?>(nil)

  /// Takes what was kept.
  func take() -> PartialOutput? { partial.withLock { $0.take() } }

  /// Keeps it for the next worker.
  func keep(_ new: PartialOutput?) { partial.withLock { $0 = new } }

  /// Forgets it: the driver was reset, and offers no chain again.
  func forget() { keep(nil) }
}
