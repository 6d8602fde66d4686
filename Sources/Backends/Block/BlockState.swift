// SPDX-License-Identifier: Apache-2.0
//
// BlockState: what a disk's queues and its control side know in common.
//
// The control thread writes it when the driver negotiates, resets, or writes the configuration space, and
// when the image was resized. The workers look at it for each request: relaxed loads, no lock. The one
// thing that workers write is the state of failure, below.
//
// After fdatasync has failed once, the kernel may have dropped the pages that it could not write, and the
// next fdatasync would succeed without them. So the failure is remembered for the whole disk, whichever
// queue met it, and every request for durability fails until the driver resets the device.
//
// The mode that a driver chose with CONFIG_WCE outlives it. A front-end may keep a copy of the
// configuration space and show the next driver that, as QEMU does for its vhost-user disks. A driver
// that reads "write-through" there never flushes, so write-through ends only when a driver says so.

import Linux
import Synchronization
import VirtioRing

final class BlockState: Sendable {
  /// The image's path, for lines about it.
  let path: String
  /// Whether writes are refused.
  let isReadOnly: Bool
  /// What the user chose: where that says when a write is durable, the driver's choice counts for nothing.
  private let cache: BlockOptions.Cache
  /// Whether the driver speaks the legacy interface.
  let isLegacy: Bool
  /// The serial, filled up with zeros.
  let serial: InlineArray<20, UInt8>
  /// Where errors of the host are told.
  let trouble: TroubleReport
  /// Where a failed sync is told: no error of a transfer may keep that back.
  private let syncTrouble: TroubleReport

  /// Counts writes for those who read beside the guest; it is made when the first of them comes.
  private let watch = AtomicLazyReference<WriteWatch>()
  private let sectors: Atomic<UInt64>
  private let accepted = Atomic<UInt64>(0)
  private let wantsWriteback: Atomic<Bool>
  /// Whether this process knows what its driver believes the mode to be.
  private let isModeKnown = Atomic<Bool>(false)
  private let writeThrough: Atomic<Bool>
  private let failed = Atomic<Bool>(false)
  private let lacksRing = Atomic<Bool>(false)
  /// What was written and what is durable, over all queues.
  private let ledger = SyncLedger()

  init(_ options: BlockOptions, capacity: UInt64, trouble: TroubleReport) {
    path = options.path
    isReadOnly = options.isReadOnly
    cache = options.cache
    wantsWriteback = Atomic(!options.cache.isWriteThrough)
    writeThrough = Atomic(options.cache != .neverSynced)
    isLegacy = options.isLegacy
    var serial = InlineArray<20, UInt8>(repeating: 0)
    for (index, byte) in options.serial.utf8.prefix(serial.count).enumerated() {
      serial[index] = byte
    }
    self.serial = serial
    self.trouble = trouble
    syncTrouble = trouble.separate()
    sectors = Atomic(capacity)
  }

  // MARK: For those who read beside the guest

  /// Counts writes from now on. Those that have begun already are not counted: to be called before queues
  /// start.
  func watchWrites() -> WriteWatch { watch.storeIfNil(WriteWatch()) }

  // MARK: For the workers

  /// A write begins. - Returns: whether it is counted, and `endWrite` to be called.
  @inline(__always)
  func beginWrite(_ request: BlockRequest) -> Bool {
    guard request.kind == .write, let watch = watch.load() else { return false }
    watch.begin(request.offset, request.byteCount)
    return true
  }

  /// A write has ended, whole, in part or with an error: a flush behind it has something to do.
  @inline(__always)
  func noteWritten() { ledger.noteWrite() }

  /// Durability is wanted.
  ///
  /// - Returns: what to hand to `endSync` when a sync has ended; nil where there is none to make: everything is
  ///   durable, the user wants none, or after a failure nothing can be.
  func beginSync() -> SyncLedger.Ticket? {
    needsNoSync || hasSyncFailed ? nil : ledger.begin()
  }

  /// A sync has ended.
  ///
  /// - Parameter error: why it failed, if it did.
  func endSync(_ sync: SyncLedger.Ticket, _ error: Errno? = nil) {
    if let error { noteSyncFailure(error) }
    // After a failure no sync is to be trusted, this one included.
    guard !hasSyncFailed else { return }
    ledger.succeed(sync)
  }

  /// A write that was counted has ended.
  func endWrite(_ request: BlockRequest) {
    watch.load()?.end(request.offset, request.byteCount)
  }

  /// The disk's size in sectors.
  var capacity: UInt64 {
    @inline(__always) get { sectors.load(ordering: .relaxed) }
  }

  /// Whether a write must be durable before it is given back.
  var isWriteThrough: Bool {
    @inline(__always) get { writeThrough.load(ordering: .relaxed) }
  }

  /// When what was written is durable.
  var writeDurability: WriteDurability {
    cache == .neverSynced ? .never : isWriteThrough ? .synced : .flushed
  }

  /// Whether there is nothing to make durable: nothing is written, or the user does not want it.
  private var needsNoSync: Bool { isReadOnly || cache == .neverSynced }

  /// Whether a request for durability has failed since the last reset.
  var hasSyncFailed: Bool {
    @inline(__always) get { failed.load(ordering: .relaxed) }
  }

  /// Whether the driver has accepted a feature.
  @inline(__always)
  func accepts(_ feature: Features) -> Bool {
    accepted.load(ordering: .relaxed) & feature.rawValue != 0
  }

  /// Remembers that durability cannot be promised any more, and says so once.
  func noteSyncFailure(_ error: Errno) {
    guard !failed.exchange(true, ordering: .relaxed) else { return }
    syncTrouble.report(
      "\(path): flush failed, and all will until the driver resets the disk: \(error)")
  }

  /// A queue that was to have an io_uring is served without. Told once: what a queue cannot have, the next ones
  /// cannot either.
  func noteMissingRing(_ queue: String, _ error: Errno) {
    guard !lacksRing.exchange(true, ordering: .relaxed) else { return }
    trouble.report(
      "\(path): \(queue), and perhaps others, are served by threads: io_uring cannot be used: "
        + "\(error)")
  }

  /// The host failed a transfer.
  func note(_ error: Errno, _ request: BlockRequest) {
    let what = request.kind == .read ? "read" : "write"
    trouble.report("\(path): \(what) of \(request.byteCount) bytes at \(request.offset): \(error)")
  }

  // MARK: For the control thread

  func resize(to capacity: UInt64) {
    sectors.store(capacity, ordering: .relaxed)
    // The new size is the driver's to make durable.
    noteWritten()
  }

  func accept(_ features: Features) {
    accepted.store(features.rawValue, ordering: .relaxed)
    updateMode()
  }

  /// The mode that the configuration space shows.
  var isWriteback: Bool {
    if cache.isWriteThrough { return false }
    if cache == .neverSynced || accepted.load(ordering: .relaxed) == 0 {
      return wantsWriteback.load(ordering: .relaxed)
    }
    return !isWriteThrough
  }

  /// The driver writes to the configuration space: with CONFIG_WCE it may choose a mode.
  ///
  /// Switching to write-through makes durable what was given back before. The mode changes first, so that
  /// each write is either durable by itself or with the kernel before the sync begins.
  ///
  /// - Parameter file: any open file of the image.
  /// - Returns: false where the driver may not write that.
  func writeConfiguration<File: BlockFile & ~Copyable>(
    at offset: Int, _ bytes: [UInt8], file: borrowing File
  ) -> Bool {
    guard offset == BlockConfiguration.writebackOffset, bytes.count == 1, bytes[0] <= 1,
      accepts(.blockConfigWriteback)
    else { return false }
    let wasWriteThrough = isWriteThrough
    isModeKnown.store(true, ordering: .relaxed)
    wantsWriteback.store(bytes[0] == 1, ordering: .relaxed)
    updateMode()
    if isWriteThrough, !wasWriteThrough, let sync = beginSync() {
      do throws(Errno) {
        try file.sync()
        endSync(sync)
      } catch {
        endSync(sync, error)
      }
    }
    return true
  }

  /// The driver may have chosen write-through before this process was there.
  ///
  /// - Returns: whether each write is synced because of that alone.
  func driverReturned() -> Bool {
    guard !isModeKnown.exchange(true, ordering: .relaxed), accepts(.blockConfigWriteback) else {
      return false
    }
    let wasWriteThrough = isWriteThrough
    wantsWriteback.store(false, ordering: .relaxed)
    updateMode()
    return isWriteThrough && !wasWriteThrough && !isReadOnly
  }

  func reset() {
    isModeKnown.store(true, ordering: .relaxed)
    accepted.store(0, ordering: .relaxed)
    failed.store(false, ordering: .relaxed)
    updateMode()
  }

  /// A driver that has no way to ask for durability must have it with each write (virtio 1.3, 5.2.5.2).
  /// A legacy driver asks with barriers.
  private func updateMode() {
    let canAsk = accepts(.blockFlush) || accepts(.blockBarrier)
    // One without CONFIG_WCE cannot have been told that it need not ask.
    let wants = wantsWriteback.load(ordering: .relaxed) || !accepts(.blockConfigWriteback)
    let isThrough =
      switch cache {
      case .writeback, .none: !(canAsk && wants)
      case .writethrough, .directsync: true
      case .neverSynced: false
      }
    writeThrough.store(isThrough, ordering: .relaxed)
  }
}
