// SPDX-License-Identifier: Apache-2.0

/// The counters of one queue and the memory that they are in, which goes back to its file with the last who
/// uses it.
final class CounterSlot: Sendable {
  let words: CounterWords
  private let onEnd: (@Sendable () -> Void)?

  /// Makes one in memory of the process's own.
  init() {
    words = CounterWords(byteCount: StatisticsFormat.slotSize)
    onEnd = nil
    noteStopped()
  }

  /// - Parameter onEnd: takes the memory back.
  init(_ words: CounterWords, onEnd: @escaping @Sendable () -> Void) {
    self.words = words
    self.onEnd = onEnd
  }

  /// No worker counts here.
  func noteStopped() { words.store(QueueState.stopped.rawValue, StatisticsFormat.Slot.state) }

  deinit { onEnd?() }
}
