// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Linux
import Synchronization
import Testing

@testable import Backends

@Suite("What a disk has to make durable", .timeLimit(.minutes(20)))
struct SyncLedgerTests {
  @Test("the first sync is always due, the next after a write")
  func due() throws {
    let ledger = SyncLedger()
    ledger.succeed(try #require(ledger.begin()))
    #expect(ledger.begin() == nil)
    for _ in 0..<3 {
      ledger.noteWrite()
      ledger.noteWrite()
      ledger.succeed(try #require(ledger.begin()))
      #expect(ledger.begin() == nil)
    }
  }

  @Test("a write that ends while a sync runs is left to the next one")
  func writeDuringSync() throws {
    let ledger = SyncLedger()
    let sync = try #require(ledger.begin())
    ledger.noteWrite()
    ledger.succeed(sync)
    ledger.succeed(try #require(ledger.begin()))
    #expect(ledger.begin() == nil)
  }

  @Test("a sync that has not succeeded is nothing to rely on")
  func failedSync() throws {
    let ledger = SyncLedger()
    ledger.noteWrite()
    _ = try #require(ledger.begin())
    let second = try #require(ledger.begin())
    ledger.succeed(second)
    #expect(ledger.begin() == nil)
  }

  @Test("syncs may end in any order")
  func overtaking() throws {
    let ledger = SyncLedger()
    let first = try #require(ledger.begin())
    ledger.noteWrite()
    let second = try #require(ledger.begin())
    ledger.noteWrite()
    ledger.succeed(second)
    ledger.succeed(first)
    #expect(ledger.begin() != nil)
  }

  /// A file system of one number: what was written, and what would survive.
  private final class Store: Sendable {
    let ledger = SyncLedger()
    let written = Atomic<Int>(0)
    let durable = Atomic<Int>(0)

    /// - Returns: whether a sync was made.
    func flush() -> Bool {
      guard let sync = ledger.begin() else { return false }
      let covered = written.load(ordering: .acquiring)
      durable.max(covered, ordering: .sequentiallyConsistent)
      ledger.succeed(sync)
      return true
    }
  }

  private final class Worker: Sendable {
    let store: Store
    let lost = Atomic<Int>(0)
    let skipped = Atomic<Int>(0)

    init(_ store: Store) { self.store = store }

    func run(_ turns: Int) {
      for _ in 0..<turns {
        let mine = store.written.wrappingAdd(1, ordering: .releasing).newValue
        store.ledger.noteWrite()
        if !store.flush() { skipped.wrappingAdd(1, ordering: .relaxed) }
        if store.durable.load(ordering: .sequentiallyConsistent) < mine {
          lost.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
  }

  @Test("with many writers and syncs at once, what was flushed is durable")
  func race() async {
    let store = Store()
    let workers = (0..<4).map { _ in Worker(store) }
    await withTaskGroup(of: Void.self) { group in
      for worker in workers { group.addTask { worker.run(50_000) } }
    }
    #expect(workers.allSatisfy { $0.lost.load(ordering: .relaxed) == 0 })
  }
}
