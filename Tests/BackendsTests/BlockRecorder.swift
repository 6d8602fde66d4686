// SPDX-License-Identifier: Apache-2.0
//
// BlockRecorder: what an engine does to an image, in order, and what it is made to meet there.
//
// RecordingFile stands between the thread engine and the image; ScriptedRing stands in io_uring's place: it
// completes requests late, in any order, in pieces, and with errors, as the recorder's plan says.

import HostTesting
import Linux
import Synchronization
import VirtioRing
import VirtioTesting

@testable import Backends

/// One thing that was done to the image.
enum BlockOperation: Equatable, Hashable {
  /// The sector where it starts.
  case read(Int)
  case write(Int)
  case sync
}

/// An operation that began or ended, how many chains the driver could see as used then, the mode, and whether
/// those who read beside the guest knew of a write there.
struct BlockEvent: Equatable, CustomStringConvertible {
  var operation: BlockOperation
  var isEnd: Bool
  var used: Int
  var isWriteThrough: Bool
  var isWatched: Bool

  var description: String {
    "\(isEnd ? "end" : "begin") \(operation), \(used) used\(isWriteThrough ? ", write-through" : "")"
      + (isWatched ? ", watched" : "")
  }
}

final class BlockRecorder: Sendable {
  /// What the image does to the engine.
  struct Plan {
    /// Syncs fail with this from the n-th on, counted from 0.
    var failingSyncs: (from: Int, error: Errno)?
    /// Only so many syncs fail.
    var failingSyncCount = Int.max
    /// Transfers that touch this sector fail.
    var failingSector: (sector: Int, error: Errno)?
    /// The most bytes of one transfer.
    var pieceByteCount = 256 * 1024
    /// How many requests the ring refuses before it takes any.
    var refusals = 0
    /// The ring's order of completion; nil completes at once and in order.
    var seed: UInt64?
  }

  private struct State {
    var plan: Plan
    var events: [BlockEvent] = []
    var syncs = 0
    var usedCount: (@Sendable () -> Int)?
    var isWriteThrough: (@Sendable () -> Bool)?
    var hook: (@Sendable () -> Void)?
    /// Requests that the ring holds and the kernel was not shown.
    var unsubmitted = 0
    var leftBehind = 0
    var writes: WriteWatch?

    func isWatched(_ operation: BlockOperation) -> Bool {
      guard case .write(let sector) = operation, let writes else { return false }
      return writes.look(sector * 512, 512) == nil
    }
  }

  private let state: Mutex<State>
  /// Keeps what has begun from ending, as storage that does not answer.
  let hang = Hang()

  init(_ plan: Plan = Plan()) { state = Mutex(State(plan: plan)) }

  var plan: Plan { state.withLock { $0.plan } }
  var events: [BlockEvent] { state.withLock { $0.events } }
  var operations: [BlockOperation] { events.filter { !$0.isEnd }.map(\.operation) }

  /// Where the number of used chains is found.
  func watch(_ bed: BlockBed) {
    guard case .split(_, _, let used) = bed.queue.plan.layout else { return }
    let memory = bed.memory
    state.withLock { $0.usedCount = { Int(memory.load(UInt16.self, at: used + 2)) } }
  }

  /// Where the mode is found.
  func watch(_ disk: BlockState) {
    state.withLock { $0.isWriteThrough = { disk.isWriteThrough } }
  }

  /// Called after each event, on the queue's thread.
  func watch(_ hook: @escaping @Sendable () -> Void) { state.withLock { $0.hook = hook } }

  /// The ring holds so many requests more, or was submitted.
  func notePrepared() { state.withLock { $0.unsubmitted += 1 } }
  func noteSubmitted() { state.withLock { $0.unsubmitted = 0 } }

  /// The thread may wait: what it has not submitted waits with it.
  func noteWait() { state.withLock { $0.leftBehind += $0.unsubmitted } }

  /// How many requests had to wait so.
  var leftBehind: Int { state.withLock { $0.leftBehind } }

  /// Where writes under way are counted.
  func watch(_ writes: WriteWatch) { state.withLock { $0.writes = writes } }

  func begin(_ operation: BlockOperation) { note(operation, isEnd: false) }
  func end(_ operation: BlockOperation) { note(operation, isEnd: true) }

  private func note(_ operation: BlockOperation, isEnd: Bool) {
    state.withLock {
      let event = BlockEvent(
        operation: operation, isEnd: isEnd, used: $0.usedCount?() ?? 0,
        isWriteThrough: $0.isWriteThrough?() ?? false, isWatched: $0.isWatched(operation))
      $0.events.append(event)
    }
    state.withLock { $0.hook }?()
  }

  /// The fate of the next sync: nil for success.
  func nextSyncError() -> Errno? {
    state.withLock { state in
      defer { state.syncs += 1 }
      guard let failing = state.plan.failingSyncs, state.syncs >= failing.from,
        state.syncs - failing.from < state.plan.failingSyncCount
      else { return nil }
      return failing.error
    }
  }

  /// The fate of a transfer.
  func transferError(_ window: borrowing SegmentWindow, at offset: Int) -> Errno? {
    guard let failing = plan.failingSector else { return nil }
    let byte = failing.sector * 512
    return byte >= offset && byte < offset + window.byteCount ? failing.error : nil
  }
}

/// An image whose calls are recorded, one by one.
struct RecordingFile: ~Copyable, BlockFile {
  let file: ImageFile
  let recorder: BlockRecorder
  /// Whether it takes writes on the spot, as the page cache does.
  let isBuffered: Bool
  private let pieces: BounceBuffer

  init(
    _ file: consuming ImageFile, _ recorder: BlockRecorder, writesOnSpot: Bool = false
  ) {
    self.file = file
    isBuffered = writesOnSpot
    self.recorder = recorder
    pieces = BounceBuffer(byteCount: recorder.plan.pieceByteCount)
  }

  borrowing func readCached(_ window: borrowing SegmentWindow, at offset: Int) -> Int? { nil }

  borrowing func writeCached(_ window: borrowing SegmentWindow, at offset: Int) -> Int? {
    recorder.noteWait()
    return try? write(window, at: offset)
  }

  borrowing func isStraight(_ window: borrowing SegmentWindow, at offset: Int) -> Bool { true }

  borrowing func read(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int {
    recorder.begin(.read(offset / 512))
    defer { recorder.end(.read(offset / 512)) }
    recorder.hang.wait()
    return try readPiece(window, at: offset)
  }

  borrowing func write(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int {
    recorder.begin(.write(offset / 512))
    defer { recorder.end(.write(offset / 512)) }
    return try writePiece(window, at: offset)
  }

  borrowing func sync() throws(Errno) {
    recorder.begin(.sync)
    defer { recorder.end(.sync) }
    recorder.hang.wait()
    if let error = recorder.nextSyncError() { throw error }
    try file.sync()
  }

  /// The transfers without the record, for the ring, where beginning and ending are two things.
  borrowing func readPiece(_ window: borrowing SegmentWindow, at offset: Int) throws(Errno) -> Int {
    if let error = recorder.transferError(window, at: offset) { throw error }
    return try pieces.read(window, from: file.buffered, at: offset)
  }

  borrowing func writePiece(
    _ window: borrowing SegmentWindow, at offset: Int
  ) throws(Errno) -> Int {
    if let error = recorder.transferError(window, at: offset) { throw error }
    return try pieces.write(window, to: file.buffered, at: offset)
  }
}

/// A submission ring made of nothing: it does a transfer when it is prepared, and says so at some time later.
struct ScriptedRing: ~Copyable, BlockRing {
  private let file: RecordingFile
  private var random: SplitMix?
  private var refusals: Int
  private var pending: [(operation: BlockOperation, completion: RingCompletion)] = []
  private var ready: [RingCompletion] = []
  private var watches: [(tag: Int, descriptor: Int32)] = []

  init(_ file: consuming RecordingFile) {
    random = file.recorder.plan.seed.map(SplitMix.init(seed:))
    refusals = file.recorder.plan.refusals
    self.file = file
  }

  mutating func begin() {
    precondition(pending.isEmpty && ready.isEmpty && watches.isEmpty, "left over from the last run")
  }

  /// Whether a request is not taken; it then completes with EAGAIN.
  private mutating func refuses(_ tag: Int) -> Bool {
    guard refusals > 0 else { return false }
    refusals -= 1
    ready.append(RingCompletion(tag: tag, result: -Errno.again.rawValue))
    return true
  }

  mutating func read(_ window: borrowing SegmentWindow, at offset: Int, tag: Int) {
    guard !refuses(tag) else { return }
    file.recorder.begin(.read(offset / 512))
    do throws(Errno) {
      add(.read(offset / 512), tag, Int32(try file.readPiece(window, at: offset)))
    } catch {
      add(.read(offset / 512), tag, -error.rawValue)
    }
  }

  mutating func write(_ window: borrowing SegmentWindow, at offset: Int, tag: Int) {
    guard !refuses(tag) else { return }
    file.recorder.begin(.write(offset / 512))
    do throws(Errno) {
      add(.write(offset / 512), tag, Int32(try file.writePiece(window, at: offset)))
    } catch {
      add(.write(offset / 512), tag, -error.rawValue)
    }
  }

  mutating func sync(tag: Int) {
    guard !refuses(tag) else { return }
    file.recorder.begin(.sync)
    add(.sync, tag, -(file.recorder.nextSyncError()?.rawValue ?? 0))
  }

  private mutating func add(_ operation: BlockOperation, _ tag: Int, _ result: Int32) {
    file.recorder.notePrepared()
    pending.append((operation, RingCompletion(tag: tag, result: result)))
  }

  mutating func watch(_ descriptor: Int32, tag: Int) {
    guard !refuses(tag) else { return }
    watches.append((tag, descriptor))
  }

  mutating func unwatch(tag: Int, ignoredTag: Int) {
    guard !refuses(ignoredTag) else { return }
    watches.removeAll { $0.tag == tag }
    ready.append(RingCompletion(tag: tag, result: -Errno.canceled.rawValue))
    ready.append(RingCompletion(tag: ignoredTag, result: 0))
  }

  mutating func enter(wait: Bool, timeout: Duration?) {
    file.recorder.noteSubmitted()
    let hangs = file.recorder.hang.isSet
    if !hangs { complete(atLeast: wait && ready.isEmpty ? 1 : 0) }
    let patience = hangs ? .milliseconds(1) : timeout ?? .seconds(60)
    look(wait && ready.isEmpty ? patience : .zero)
  }

  /// Ends some of what is pending.
  private mutating func complete(atLeast minimum: Int) {
    guard !pending.isEmpty else { return }
    var count = pending.count
    if random != nil { count = min(count, max(minimum, Int(pick(UInt64(count) + 1)))) }
    for _ in 0..<count {
      let (operation, completion) = pending.remove(at: Int(pick(UInt64(pending.count))))
      file.recorder.end(operation)
      ready.append(completion)
    }
  }

  private mutating func pick(_ bound: UInt64) -> UInt64 {
    random?.next(upperBound: bound) ?? 0
  }

  /// Looks at the watched descriptors.
  private mutating func look(_ timeout: Duration) {
    var entries = watches.map { PollEntry(fd: $0.descriptor) }
    var span = entries.mutableSpan
    guard let count = try? Poll.wait(&span, timeout: timeout), count > 0 else { return }
    for index in entries.indices where entries[index].isReady {
      ready.append(RingCompletion(tag: watches[index].tag, result: 1))
    }
    watches.removeAll { watch in ready.contains { $0.tag == watch.tag } }
  }

  mutating func next() -> RingCompletion? { ready.isEmpty ? nil : ready.removeFirst() }
}

/// A disk whose engine is a recorded one.
final class RecordedDisk: Device {
  enum Engine: String, CaseIterable, Sendable {
    case threads
    /// All transfers go through the ring.
    case ring
    /// Writes are made on the spot, as into the page cache.
    case spot
  }

  let id = DeviceID.block
  let name = "block0"
  let offeredFeatures = Features.allRing
  let queueSizes: [UInt16] = [256, 256]
  let configurationChange = ChangeSignal()
  let statistics = [QueueStatistics(), QueueStatistics()]
  let state: BlockState
  let recorder: BlockRecorder
  private let image: BlockImage
  private let engine: Engine

  init(
    _ image: TestImage, _ engine: Engine, _ recorder: BlockRecorder, isLegacy: Bool = false,
    cache: BlockOptions.Cache = .writeback, log: LineCollector? = nil
  ) throws {
    var options = image.options
    options.cache = cache
    options.isLegacy = isLegacy
    self.engine = engine
    self.recorder = recorder
    self.image = try BlockImage(options)
    state = BlockState(
      options, capacity: try self.image.readSize() / 512, trouble: TroubleReport(log?.hook))
    recorder.watch(state)
  }

  func configuration() -> [UInt8] { [] }

  func writeConfiguration(at offset: Int, _ bytes: [UInt8]) -> Bool {
    guard let file = try? image.openFile() else { return false }
    return state.writeConfiguration(at: offset, bytes, file: RecordingFile(file, recorder))
  }

  /// The driver chooses a mode. - Returns: whether it may.
  func setWriteback(_ on: Bool) -> Bool { writeConfiguration(at: 32, [on ? 1 : 0]) }

  func driverAccepted(_ features: Features) { state.accept(features) }
  func reset() { state.reset() }

  func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    let file = RecordingFile(
      try image.openFile(), recorder, writesOnSpot: engine == .spot)
    let ringFile = RecordingFile(try image.openFile(), recorder)
    do throws(Errno) {
      switch engine {
      case .threads:
        return try QueueWorker.start(
          name: name, queue: queue, body: ThreadEngine(file: file, state: state), wiring: wiring,
          statistics: statistics[index])
      case .ring, .spot:
        let depth = min(Int(queue.configuration.size), 256)
        let ring = ScriptedRing(ringFile)
        return try QueueWorker.start(
          name: name, queue: queue,
          body: UringEngine(ring: ring, file: file, state: state, depth: depth), wiring: wiring,
          statistics: statistics[index])
      }
    } catch {
      throw DeviceError("start", error)
    }
  }
}
