// SPDX-License-Identifier: Apache-2.0
//
// Printer: writes what the program's threads print, on a thread of its own, so that none of them ever waits for it.
//
// A stream may not take anything for a while, or for ever: a pipe that nobody reads, a stopped terminal, a log whose
// daemon hangs, a file on storage that hangs. What is printed meanwhile waits here, as far as there is room. The rest
// is dropped and counted, and the number is printed in its place once the stream takes again. O_NONBLOCK would
// not do: it belongs to the open file, which others share.

import Linux
import Synchronization

/// A stream, a log or whatever takes pieces of output, in the order in which they are printed.
final class Printer: Sendable {
  /// What is printed at once.
  struct Piece: Sendable, Equatable {
    var bytes: [UInt8]
    var priority = SystemLog.Priority.error
  }

  private enum Item: Sendable {
    case piece(Piece)
    /// So many pieces were dropped here.
    case loss(Int)

    /// The room that it takes. A piece is more than its bytes.
    var cost: Int {
      switch self {
      case .piece(let piece): piece.bytes.count + 64
      case .loss: 64
      }
    }
  }

  private struct State {
    var waiting: [Item] = []
    /// What waits, and what the thread has taken and not written yet.
    var cost = 0
    /// What was dropped since the last item that waits.
    var dropped = 0

    mutating func add(_ item: Item) {
      waiting.append(item)
      cost += item.cost
    }
  }

  private let limit: Int
  private let write: @Sendable (Piece) throws(Errno) -> Void
  private let loss: @Sendable (Int) -> Piece
  private let state = Mutex(State())
  /// Rung when something is printed.
  private let bell: EventFD
  /// Readable while nothing waits.
  private let idle: EventFD
  private let thread = Mutex<WorkerThread<Void>?>(nil)

  /// Starts the thread. It lives as long as the process.
  ///
  /// - Parameters:
  ///   - name: the thread's.
  ///   - limit: how much may wait, in bytes.
  ///   - loss: what says that so many pieces were dropped.
  ///   - write: writes a piece. On the thread, where it may wait; what it refuses counts as dropped.
  init(
    _ name: String, limit: Int = 1 << 20, loss: @escaping @Sendable (Int) -> Piece,
    write: @escaping @Sendable (Piece) throws(Errno) -> Void
  ) throws(Errno) {
    self.limit = limit
    self.loss = loss
    self.write = write
    bell = try EventFD(nonBlocking: false)
    idle = try EventFD(initial: 1)
    let started = try WorkerThread.start(name: name, state: self) { $0.run() }
    var optional = Optional(started)
    thread.withLock { $0 = optional.take() }
  }

  /// Has a piece written, or drops it. It never waits.
  func print(_ piece: Piece) {
    let item = Item.piece(piece)
    let isTaken = state.withLock { state in
      guard state.cost + item.cost <= limit else {
        state.dropped += 1
        return false
      }
      if state.dropped > 0 { state.add(.loss(state.dropped)) }
      state.dropped = 0
      state.add(item)
      idle.drain()
      return true
    }
    if isTaken { bell.signal() }
  }

  /// Waits until all that was printed is written. - Returns: whether it is.
  func wait(atMost time: Duration) -> Bool {
    let found = try? Poll.wait(for: .readable, on: idle.descriptor, timeout: time)
    return found?.isEmpty == false
  }

  // MARK: The thread

  private func run() {
    // What was refused is told with the next piece: by itself it would only be refused again.
    var refused = 0
    while true {
      bell.drain()
      while case let items = take(), !items.isEmpty {
        for item in items {
          refused = write(item, refused)
          state.withLock { $0.cost -= item.cost }
        }
      }
    }
  }

  /// All that waits. The last thing is what was dropped behind it.
  private func take() -> [Item] {
    state.withLock { state in
      if state.dropped > 0 { state.add(.loss(state.dropped)) }
      state.dropped = 0
      if state.waiting.isEmpty { idle.signal() }
      defer { state.waiting = [] }
      return state.waiting
    }
  }

  /// - Returns: how many pieces were refused and not told of.
  private func write(_ item: Item, _ refused: Int) -> Int {
    let lost: Int
    let piece: Piece?
    switch item {
    case .piece(let own): (lost, piece) = (refused, own)
    case .loss(let count): (lost, piece) = (refused + count, nil)
    }
    do throws(Errno) { if lost > 0 { try write(loss(lost)) } } catch {
      return piece == nil ? lost : lost + 1
    }
    do throws(Errno) { if let piece { try write(piece) } } catch { return 1 }
    return 0
  }
}
