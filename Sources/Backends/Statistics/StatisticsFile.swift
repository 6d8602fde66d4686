// SPDX-License-Identifier: Apache-2.0
//
// StatisticsFile: a process's counters where other processes can read them: `lgdev top` and `lgdev stats`.
//
// It is a memory file without a name in any directory. Readers find it among the descriptors of the process
// (/proc/PID/fd) by the name that the kernel shows there, so nothing is left behind however the process ends,
// and who may look at the process may read it. It is sealed: nobody can cut it off or let it grow, and
// where the kernel can (Linux 5.1), nobody but this process can write it.
//
// A slot is the queue's as long as its QueueStatistics lives, or a worker of it runs. A slot that is used
// again gets another serial, so that nobody takes one queue's counters for another's.

public import Linux
import Synchronization

/// Counters of a process's queues, for other processes to read.
public final class StatisticsFile: Sendable {
  private let shared: Shared

  /// What slots keep alive.
  private final class Shared: Sendable {
    /// Open for as long as somebody counts in the file: readers find the file by it.
    let file: FileDescriptor
    let mapping: SharedMapping
    let header: CounterWords
    let capacity: Int
    let places = Mutex(Places())

    struct Places {
      var free: [Int] = []
      var used = 0
      var lastSerial: UInt64 = 0
      var omitted: UInt64 = 0
    }

    init(capacity: Int) throws(Errno) {
      self.capacity = capacity
      let size = StatisticsFormat.headerSize + capacity * StatisticsFormat.slotSize
      let file = try Memfd.create(name: StatisticsFormat.fileName, size: UInt64(size))
      mapping = SharedMapping(try MemoryMapping(file, length: size))
      // Linux before 5.1 has no such seal.
      try? file.addSeals(.futureWrite)
      try file.addSeals([.shrink, .grow, .seal])
      header = CounterWords(mapping, 0..<StatisticsFormat.headerSize)
      self.file = file
    }
  }

  /// Makes the file. One for each process is what readers look for.
  ///
  /// - Parameters:
  ///   - program: its name and version, in up to 48 bytes of ASCII.
  ///   - capacity: how many queues there is room for, at most 4096. Memory is used for those there are: 8 KiB each.
  public init(program: String, capacity: Int = 1024) throws(Errno) {
    guard capacity > 0, capacity <= StatisticsFormat.slotLimit else { throw .invalidArgument }
    typealias Header = StatisticsFormat.Header
    shared = try Shared(capacity: capacity)
    let header = shared.header
    header.store(StatisticsFormat.version, Header.version)
    header.store(UInt64(StatisticsFormat.headerSize), Header.slotOffset)
    header.store(UInt64(StatisticsFormat.slotSize), Header.slotSize)
    header.store(UInt64(capacity), Header.capacity)
    header.store(UInt64(Process.id), Header.process)
    header.store(MonotonicClock.nanoseconds, Header.startMonotonic)
    header.store(SystemClock.nanoseconds, Header.startReal)
    header.store(program, Header.program)
    header.storeReleasing(StatisticsFormat.magic, Header.magic)
  }

  /// The file, for whoever passes it on; it is open as long as this object or a device that was added lives.
  public func duplicate() throws(Errno) -> FileDescriptor { try shared.file.duplicate() }

  /// Moves a device's counters here, where they begin at zero. Before its queues are started: one that runs
  /// goes on counting where it did.
  ///
  /// Where there is no room, the device counts as before and only a number here says so.
  ///
  /// - Parameters:
  ///   - device: whose queues are counted.
  ///   - transport: how its guest reaches it, in up to 32 bytes of ASCII.
  ///   - guest: the guest that has it, in up to 64, where the process has several.
  public func add(_ device: any Device, transport: String, guest: String = "") {
    typealias Slot = StatisticsFormat.Slot
    for (index, statistics) in device.statistics.enumerated() {
      guard let (slot, serial) = take() else { continue }
      let words = slot.words
      slot.noteStopped()
      words.store(UInt64(device.id.rawValue), Slot.deviceType)
      words.store(UInt64(index), Slot.index)
      words.store(guest, Slot.guest)
      words.store(device.name, Slot.device)
      words.store(transport, Slot.transport)
      words.store(statistics.name, Slot.queue)
      words.storeReleasing(serial, Slot.serial)
      statistics.move(to: slot)
    }
  }

  /// Finds a place for a queue. - Returns: nil where there is none.
  private func take() -> (CounterSlot, serial: UInt64)? {
    let shared = shared
    let place: (index: Int, serial: UInt64)? = shared.places.withLock { places in
      if places.free.isEmpty, places.used == shared.capacity {
        places.omitted += 1
        shared.header.store(places.omitted, StatisticsFormat.Header.omitted)
        return nil
      }
      places.lastSerial += 1
      if let index = places.free.popLast() { return (index, places.lastSerial) }
      places.used += 1
      return (places.used - 1, places.lastSerial)
    }
    guard let place else { return nil }
    let start = StatisticsFormat.headerSize + place.index * StatisticsFormat.slotSize
    let words = CounterWords(shared.mapping, start..<start + StatisticsFormat.slotSize)
    for offset in stride(from: 0, to: StatisticsFormat.slotSize, by: 8) { words.store(0, offset) }
    shared.places.withLock { places in
      shared.header.storeReleasing(UInt64(places.used), StatisticsFormat.Header.used)
    }
    let slot = CounterSlot(words) {
      words.store(0, StatisticsFormat.Slot.serial)
      shared.places.withLock { $0.free.append(place.index) }
    }
    return (slot, place.serial)
  }
}
