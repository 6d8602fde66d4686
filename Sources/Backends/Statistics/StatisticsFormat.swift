// SPDX-License-Identifier: Apache-2.0
//
// StatisticsFormat: where the counters of queues lie, in a process's own memory and in the file that it shows
// to others.
//
// A file is a header of one page and slots of two pages each. All numbers are 64-bit words in the byte order of
// the machine; texts are padded with zeros. A slot belongs to one queue and is written by one thread: the queue's
// worker while it runs, the control thread otherwise. So a writer needs neither locks nor instructions that
// lock: it loads, adds and stores. Who reads sees each word whole, though two words may be of different
// moments.
//
//     header   0  "lgdevsta"            slot   0  serial, 0: the slot is free
//              8  version                      8  state
//             16  where slots begin           16  device type (virtio 1.3, chapter 5)
//             24  bytes of a slot             24  index of the queue
//             32  slots there is room for     32  entries of its ring
//             40  slots ever used             40  features that the driver accepted
//             48  process                     48  how often it was started
//             56  start, monotonic, ns        56  when a disk's writes are durable
//             64  start, since 1970, ns       64  guest    64 bytes of text
//             72  queues without a slot      128  device   64
//             80  program  48 bytes          192  transport 32
//                                            224  queue    32
//                                            256  counters, a cache line of them
//                                            512  start of each request in flight, 0: none, 256 words
//                                           2560  histogram of service times, 320 words
//
// The reader is in StatisticsReader.swift; `docs/statistics.md` says what the numbers mean.

/// The format's numbers.
enum StatisticsFormat {
  /// "lgdevsta", as a word.
  static let magic: UInt64 = 0x6174_7376_6564_676c
  /// Readers refuse every other one.
  static let version: UInt64 = 1
  static let headerSize = 4096
  static let slotSize = 8192
  /// A sane limit for readers: what a hostile file makes them read.
  static let slotLimit = 4096
  /// Why the name of the file is what it is: readers look for it among the descriptors of processes.
  static let fileName = "lgdev-stats"

  /// Where words of the header are.
  enum Header {
    static let magic = 0
    static let version = 8
    static let slotOffset = 16
    static let slotSize = 24
    static let capacity = 32
    static let used = 40
    static let process = 48
    static let startMonotonic = 56
    static let startReal = 64
    static let omitted = 72
    static let program = 80..<128
  }

  /// Where words of a slot are.
  enum Slot {
    static let serial = 0
    static let state = 8
    static let deviceType = 16
    static let index = 24
    static let size = 32
    static let features = 40
    static let starts = 48
    static let writes = 56
    static let guest = 64..<128
    static let device = 128..<192
    static let transport = 192..<224
    static let queue = 224..<256
    static let chains = 256
    static let bytesFromGuest = 264
    static let bytesToGuest = 272
    static let kicks = 280
    static let calls = 288
    static let errors = 296
    static let dropped = 304
    static let faults = 312
    static let inFlight = 512
    static let inFlightCount = 256
    static let histogram = 2560
  }
}

/// When what a disk has written is durable.
public enum WriteDurability: UInt64, Sendable {
  /// When the driver has flushed.
  case flushed = 1
  /// When the driver knows that it is written: each write is synced.
  case synced = 2
  /// When the host's kernel likes: nothing is synced.
  case never = 3
}

/// What a queue is doing.
public enum QueueState: UInt64, Sendable {
  /// No driver has it, or its transport has stopped it.
  case stopped = 1
  /// A worker serves it.
  case running = 2
  /// Its driver has broken the ring; it waits for a reset.
  case failed = 3
}
