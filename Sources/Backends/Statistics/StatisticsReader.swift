// SPDX-License-Identifier: Apache-2.0
//
// StatisticsReader: reads the counters that another process shows.
//
// The file belongs to somebody else and may lie. It is read, not mapped: what arrives is a private copy
// of a bounded size, nothing can be cut off under it, and each number is used from the copy. The kernel copies
// aligned words whole. A slot whose serial has changed meanwhile is read again.

public import Linux

/// Why another process's counters cannot be read.
public enum StatisticsError: Error, Sendable, Equatable, CustomStringConvertible {
  /// It is no memory file, or one that can still be cut off.
  case notSealed
  /// It is shorter than it says, or says nonsense.
  case nonsense
  /// It is of another version of this project.
  case otherVersion(UInt64)
  /// The system refuses.
  case system(Errno)

  /// In a few words.
  public var description: String {
    switch self {
    case .notSealed: "its statistics are in no sealed memory file"
    case .nonsense: "its statistics are damaged"
    case .otherVersion(let version):
      "its statistics have format \(version), and this program reads \(StatisticsFormat.version); "
        + "use the lgdev that belongs to it"
    case .system(let errno): errno.description
    }
  }
}

/// The counters of a process at one moment.
public struct StatisticsReading: Sendable, Equatable {
  /// The name that the kernel shows for the descriptors of such files, in /proc/PID/fd.
  public static let linkTarget = "/memfd:\(StatisticsFormat.fileName) (deleted)"

  /// The process's name and version, as it says.
  public var program: String
  /// How long it has counted, in nanoseconds.
  public var age: UInt64
  /// When it has begun, in nanoseconds since 1970.
  public var start: UInt64
  /// How many queues it has no room for.
  public var omitted: UInt64
  /// When all this was read, in nanoseconds of `MonotonicClock`.
  public var time: UInt64
  /// Its queues, by guest, device and index.
  public var queues: [QueueReading]

  /// Reads a file that may be anything.
  ///
  /// - Parameter file: open for reading.
  public init(_ file: borrowing FileDescriptor) throws(StatisticsError) {
    typealias Header = StatisticsFormat.Header
    let size = try Self.checkedSize(of: file)
    let header = try Self.words(file, at: 0, byteCount: StatisticsFormat.headerSize)
    func word(_ offset: Int) -> UInt64 { header[offset / 8] }
    guard word(Header.magic) == StatisticsFormat.magic else { throw .nonsense }
    guard word(Header.version) == StatisticsFormat.version else {
      throw .otherVersion(word(Header.version))
    }
    let used = word(Header.used)
    guard word(Header.slotOffset) == UInt64(StatisticsFormat.headerSize),
      word(Header.slotSize) == UInt64(StatisticsFormat.slotSize),
      used <= UInt64(StatisticsFormat.slotLimit),
      UInt64(StatisticsFormat.headerSize) + used * UInt64(StatisticsFormat.slotSize) <= size
    else { throw .nonsense }
    program = QueueReading.text(header, Header.program)
    start = word(Header.startReal)
    omitted = word(Header.omitted)
    var queues: [QueueReading] = []
    for index in 0..<Int(used) {
      if let queue = try Self.queue(file, index) { queues.append(queue) }
    }
    self.queues = queues.sorted {
      ($0.guest, $0.device, $0.index, $0.serial) < ($1.guest, $1.device, $1.index, $1.serial)
    }
    time = MonotonicClock.nanoseconds
    let begun = word(Header.startMonotonic)
    age = time > begun ? time - begun : 0
  }

  /// How often a slot is read again that changes its owner meanwhile.
  private static let patience = 3

  /// Reads a slot. - Returns: nil where it is free.
  private static func queue(
    _ file: borrowing FileDescriptor, _ index: Int
  ) throws(StatisticsError) -> QueueReading? {
    let offset = StatisticsFormat.headerSize + index * StatisticsFormat.slotSize
    for _ in 0..<patience {
      let words = try words(file, at: offset, byteCount: StatisticsFormat.slotSize)
      let serial = words[StatisticsFormat.Slot.serial / 8]
      guard serial != 0 else { return nil }
      let again = try Self.words(file, at: offset + StatisticsFormat.Slot.serial, byteCount: 8)
      if again == [serial] { return QueueReading(words: words, now: MonotonicClock.nanoseconds) }
    }
    return nil
  }

  private static func checkedSize(
    of file: borrowing FileDescriptor
  ) throws(StatisticsError) -> UInt64 {
    let seals: Seals
    let size: UInt64
    do throws(Errno) {
      // Only memory files have seals.
      seals = try file.seals()
      size = try file.status().size
    } catch {
      throw error == .invalidArgument ? .notSealed : .system(error)
    }
    guard seals.contains(.shrink) else { throw .notSealed }
    return size
  }

  private static func words(
    _ file: borrowing FileDescriptor, at offset: Int, byteCount: Int
  ) throws(StatisticsError) -> [UInt64] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let count: Int
    do throws(Errno) { count = try file.read(into: &bytes, at: UInt64(offset)) } catch {
      throw .system(error)
    }
    guard count == byteCount else { throw .nonsense }
    return stride(from: 0, to: byteCount, by: 8).map { start in
      var word: UInt64 = 0
      for index in (0..<8).reversed() { word = word << 8 | UInt64(bytes[start + index]) }
      return word
    }
  }
}
