// SPDX-License-Identifier: Apache-2.0
//
// QueueReading: the counters of a queue at one moment.
//
// It is made of words that may come from another process, so nothing of them is believed: numbers are taken
// as they are and never added in a way that traps, texts lose what a terminal could be hurt with.

public import VirtioRing

/// The counters of a queue at one moment.
public struct QueueReading: Sendable, Equatable {
  /// Tells queues apart that had the same slot of a file one after the other.
  public var serial: UInt64
  /// The guest that has the device, where a process has several; empty otherwise.
  public var guest: String
  /// The device's name, such as `block0`.
  public var device: String
  /// The device's type.
  public var type: DeviceID
  /// How the guest reaches it: `vhost-user`, `lguest`, or what the embedder says.
  public var transport: String
  /// Which of the device's queues it is.
  public var index: Int
  /// What it is for: `rx`, `tx`, `requests`.
  public var name: String
  /// Entries of its ring; 0 before it has run.
  public var size: Int
  /// What it is doing.
  public var state: QueueState
  /// What the driver had accepted when the queue was started last.
  public var features: Features
  /// How often a driver has started it.
  public var starts: UInt64
  /// When what its disk has written is durable; nil where it is no disk's.
  public var writes: WriteDurability?

  /// Chains given back.
  public var chains: UInt64
  /// Bytes of data that the device took out of the guest's memory.
  public var bytesFromGuest: UInt64
  /// Bytes of data that the device put into the guest's memory.
  public var bytesToGuest: UInt64
  /// Kicks heard.
  public var kicks: UInt64
  /// Calls made.
  public var calls: UInt64
  /// Requests that were answered with an error.
  public var errors: UInt64
  /// Frames, or pieces of a stream, that were thrown away.
  public var dropped: UInt64
  /// Times the driver has broken the ring.
  public var faults: UInt64
  /// How long requests took.
  public var serviceTimes: ServiceTimes

  /// How many requests are in flight.
  public var inFlight: Int
  /// How long the oldest of them has been, in nanoseconds; nil where there is none.
  public var oldestAge: UInt64?

  /// - Parameters:
  ///   - words: of a slot; those that are missing are 0.
  ///   - now: when they were read, on `MonotonicClock`.
  init(words: [UInt64], now: UInt64) {
    typealias Slot = StatisticsFormat.Slot
    func word(_ offset: Int) -> UInt64 { offset / 8 < words.count ? words[offset / 8] : 0 }
    func text(_ range: Range<Int>) -> String { Self.text(words, range) }
    serial = word(Slot.serial)
    guest = text(Slot.guest)
    device = text(Slot.device)
    type = DeviceID(rawValue: UInt32(clamping: word(Slot.deviceType)))
    transport = text(Slot.transport)
    index = Int(clamping: word(Slot.index))
    name = text(Slot.queue)
    size = Int(clamping: word(Slot.size))
    state = QueueState(rawValue: word(Slot.state)) ?? .stopped
    features = Features(rawValue: word(Slot.features))
    starts = word(Slot.starts)
    writes = WriteDurability(rawValue: word(Slot.writes))
    chains = word(Slot.chains)
    bytesFromGuest = word(Slot.bytesFromGuest)
    bytesToGuest = word(Slot.bytesToGuest)
    kicks = word(Slot.kicks)
    calls = word(Slot.calls)
    errors = word(Slot.errors)
    dropped = word(Slot.dropped)
    faults = word(Slot.faults)
    serviceTimes = ServiceTimes(
      (0..<ServiceTimes.bucketCount).lazy.map { word(Slot.histogram + $0 * 8) })
    let begun = (0..<Slot.inFlightCount).lazy.map { word(Slot.inFlight + $0 * 8) }.filter {
      $0 != 0
    }
    inFlight = begun.count
    oldestAge = begun.min().map { now > $0 ? now - $0 : 0 }
  }

  /// Text that ends at the first zero. What is not a printable ASCII character becomes a question mark.
  static func text(_ words: [UInt64], _ range: Range<Int>) -> String {
    var text = ""
    for offset in range {
      guard offset / 8 < words.count else { break }
      let byte = UInt8(truncatingIfNeeded: words[offset / 8] >> UInt64(offset % 8 * 8))
      guard byte != 0 else { break }
      text.append((0x20...0x7e).contains(byte) ? Character(Unicode.Scalar(byte)) : "?")
    }
    return text
  }
}
