// SPDX-License-Identifier: Apache-2.0
//
// UringEngine: serves a queue with many requests in flight, through a submission ring.
//
// The thread sleeps in one place, inside the ring, and everything wakes it as a completion: transfers, syncs,
// the driver's kick, the control thread's interrupt. A turn of the loop is
//
//     take completions      give their chains back
//     take chains           prepare transfers in the ring
//     call the driver       for what was given back
//     enter the ring        submit all that was prepared, and sleep if there is nothing else to do
//
// A chain occupies a slot from being taken to being given back, and a slot is in one of these stages:
//
//     transfer    its data is on the way; a short transfer goes on with the rest
//     durable     done but for durability: a flush, or a write in write-through mode
//     barrier     a legacy barrier that has not begun
//
// Durability. One fdatasync is in flight at a time. Slots that want one gather while it runs, and the next one
// serves all of them: it starts after each of them has ended its transfer. A slot never joins one that has
// started already.
//
// A barrier stops the taking of chains. When it is alone in flight it gets a sync, then runs, then
// gets another sync, then chains are taken again.
//
// Order. Transfers end in any order, and chains are given back in the order in which they were taken, whether the
// driver has accepted IN_ORDER or not. So the used index is a point to go on from for a process that takes the
// queue over after this one was killed: what is behind it was given back, and nothing else was.
//
// On the spot. Transfers between guest memory and the page cache are done by a call of this thread's, which costs less
// than a turn through the ring: reads of what the cache has, and writes. A read that would wait goes
// through the ring. A write may wait within the call (RWF_NOWAIT, which would keep it from that, is refused by
// ext4 for writes), so what was prepared is submitted first, and after a write that took long the next ones go
// through the ring, where the kernel's workers wait for them. No request waits for more than it would with
// ThreadEngine.
//
// Memory. Chains are taken into one that has room for all that a ring can hold, and copied into their slot's, which
// has grown to the longest chain that the slot has seen, up to a limit. A longer chain than that keeps the large one
// until it is given back, and none is taken meanwhile. So a queue that has nothing to do takes next to no memory.
//
// However a run ends, nothing is in flight then and the ring watches nothing.

import Linux
import VirtioRing

/// A request in flight.
struct RingSlot: ~Copyable, Sendable {
  enum Stage {
    case transfer
    case durable
    case barrier
  }

  var window: SegmentWindow
  var request = BlockRequest()
  var stage = Stage.transfer
  /// Whether its write is counted by a WriteWatch.
  var isWatched = false
  var link = SlotList.Link()
}

struct UringEngine<Ring: BlockRing & ~Copyable, File: BlockFile & ~Copyable>: ~Copyable, QueueBody {
  private var ring: Ring
  private let file: File
  private let state: BlockState
  private var chains: ChainPool
  private var slots: SlotPool<RingSlot>
  /// What chains are taken into, with room for the longest.
  private var taken = Chain(segmentCapacity: BlockRequest.segmentLimit)
  /// The window of such a one.
  private var largeWindow = SegmentWindow(segmentCapacity: BlockRequest.segmentLimit)
  /// The slot that keeps a chain too long for a slot, and with it the room for the longest.
  private var large: Int?

  private var free = SlotList()
  /// Want a sync that has not started yet.
  private var waiting = SlotList()
  /// Are served by the sync in flight.
  private var syncing = SlotList()
  private var isSyncing = false
  /// The barrier that holds everything up.
  private var barrier: Int?
  private var inFlight = 0

  private var watchesKick = false
  private var watchedKick: QueuePort.WatchedKick?
  private var watchesInterrupt = false
  /// Kicks cannot be waited for: the queue is looked at from time to time.
  private var isKickUnusable = false

  private var readLuck = SpotLuck()
  private var writeLuck = SpotLuck()
  /// Whether the ring holds transfers or syncs that the kernel has not been shown.
  private var isPrepared = false
  /// The bytes that were transferred on the spot in this turn of the loop.
  private var spotByteCount = 0

  /// What this turn of the loop has finished and not shown to the driver.
  private var served = 0

  /// What the sync in flight was begun with.
  private var sync: SyncLedger.Ticket?

  /// The most requests in flight on a queue, whatever its size.
  static var depthLimit: Int { 256 }
  /// Twice what a driver that honours `seg_max` needs, header and status included, if every buffer
  /// crosses into another memory region.
  private static var slotSegmentLimit: Int { 512 }
  /// What most chains need: a header, data in a few pieces, a status.
  private static var usualSegmentCount: Int { 6 }
  /// The most chains taken before completions are looked at.
  private static var turnLimit: Int { 64 }
  /// The most bytes transferred on the spot before that, some 100 µs of copying.
  private static var spotLimit: Int { 512 << 10 }
  /// How long a write that waits for nothing may take, in nanoseconds: 50 µs, and 1 GB/s.
  private static func quickTime(_ byteCount: Int) -> UInt64 { 50_000 &+ UInt64(byteCount) }
  /// The most chains given back with one call. With fewer the driver is woken too often where others want
  /// its processor; with more it falls asleep while the device works, and waking an idle virtual processor
  /// costs more than a request. Measured at depth 32: 8 was best on an idle machine, 16 on a busy one.
  private static var callBatch: Int { 8 }
  private static var pollInterval: Duration { .milliseconds(1) }

  private var syncTag: Int { slots.count }
  private var kickTag: Int { slots.count &+ 1 }
  private var interruptTag: Int { slots.count &+ 2 }
  private var ignoredTag: Int { slots.count &+ 3 }

  init(ring: consuming Ring, file: consuming File, state: BlockState, depth: Int) {
    self.ring = ring
    self.file = file
    self.state = state
    chains = ChainPool(count: depth, segmentCapacity: Self.usualSegmentCount)
    slots = SlotPool(count: depth) {
      RingSlot(window: SegmentWindow(segmentCapacity: Self.usualSegmentCount))
    }
    for slot in 0..<depth { free.append(slot, &slots) }
  }

  // MARK: The loop

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    ring.begin()
    isKickUnusable = false
    queue.keepOrder()
    watchInterrupt(port)
    queue.disableKicks()
    var fault: RingError?
    while true {
      takeCompletions(&queue, &port)
      port.takeMail()
      leaveOutdatedKick(port)
      // It has told of mail, or the ring had not taken it.
      if !watchesInterrupt, !port.isInterrupted { watchInterrupt(port) }
      var hasMore = false
      if fault == nil, !port.isInterrupted {
        do throws(RingError) {
          hasMore = try takeChains(&queue, &port)
        } catch {
          fault = error
        }
      }
      synchronize(&queue, &port)
      giveBack(&queue, &port)
      let isEnding = fault != nil || port.isInterrupted
      if isEnding, inFlight == 0 { break }
      if hasMore {
        if inFlight > 0 { enter(&port, wait: false, timeout: nil) }
        continue
      }
      do throws(RingError) {
        try sleep(&queue, &port, takesMore: !isEnding && canTake)
      } catch {
        fault = error
      }
    }
    stopWatching(&port)
    if let fault { throw fault }
  }

  /// Enters the ring and waits for a completion; for kicks too if chains could be taken.
  private mutating func sleep(
    _ queue: inout Virtqueue, _ port: inout QueuePort, takesMore: Bool
  ) throws(RingError) {
    guard takesMore else { return enter(&port, wait: true, timeout: nil) }
    let hearsKicks = port.kickDescriptor >= 0 && !isKickUnusable
    if hearsKicks, !watchesKick {
      ring.watch(port.kickDescriptor, tag: kickTag)
      watchesKick = true
      watchedKick = port.watchedKick
    }
    // Chains that came before kicks were on: no kick will come for them.
    if try !queue.enableKicks() {
      enter(&port, wait: true, timeout: hearsKicks ? nil : Self.pollInterval)
    }
    queue.disableKicks()
  }

  /// Enters the ring, which takes its time.
  private mutating func enter(_ port: inout QueuePort, wait: Bool, timeout: Duration?) {
    isPrepared = false
    ring.enter(wait: wait, timeout: timeout)
    port.meter.hasWaited()
  }

  private mutating func watchInterrupt(_ port: borrowing QueuePort) {
    ring.watch(port.interruptDescriptor, tag: interruptTag)
    watchesInterrupt = true
  }

  /// Ends the watch of a kick descriptor that the driver has given up. The next sleep watches the new one, once
  /// this has ended.
  private mutating func leaveOutdatedKick(_ port: borrowing QueuePort) {
    guard let watchedKick, port.isWatchOutdated(watchedKick) else { return }
    self.watchedKick = nil
    isKickUnusable = false
    if watchesKick { ring.unwatch(tag: kickTag, ignoredTag: ignoredTag) }
  }

  /// Ends the watches, which are bound to descriptors that may be closed after this run.
  private mutating func stopWatching(_ port: inout QueuePort) {
    // Again where the ring has not taken it. The end of what has ended is ignored.
    while watchesKick || watchesInterrupt {
      if watchesKick { ring.unwatch(tag: kickTag, ignoredTag: ignoredTag) }
      if watchesInterrupt { ring.unwatch(tag: interruptTag, ignoredTag: ignoredTag) }
      enter(&port, wait: true, timeout: nil)
      while let completion = ring.next() { noteWatch(completion, &port) }
    }
  }

  private mutating func noteWatch(_ completion: RingCompletion, _ port: inout QueuePort) {
    if completion.tag == kickTag {
      watchesKick = false
      if completion.result > 0 {
        port.drainKick()
      } else if completion.result != -Errno.canceled.rawValue,
        completion.result != -Errno.again.rawValue
      {
        isKickUnusable = true
      }
    } else if completion.tag == interruptTag {
      watchesInterrupt = false
    }
  }

  // MARK: Taking and giving back

  /// Whether a chain may be taken: no barrier is up, and there is a slot and room for the longest chain.
  private var canTake: Bool {
    @inline(__always) get { barrier == nil && large == nil && !free.isEmpty }
  }

  /// Takes what is available. - Returns: whether there may be more for which there is a slot.
  private mutating func takeChains(
    _ queue: inout Virtqueue, _ port: inout QueuePort
  ) throws(RingError) -> Bool {
    spotByteCount = 0
    for _ in 0..<Self.turnLimit {
      guard canTake else { return false }
      guard try queue.pop(into: &taken), let slot = free.takeFirst(&slots) else { return false }
      inFlight &+= 1
      port.meter.take(slot)
      keep(slot)
      let request = BlockRequest(chains[slot], state)
      slots[slot].request = request
      if request.isBarrier, request.kind != .refused {
        slots[slot].stage = .barrier
        barrier = slot
      } else {
        perform(slot, &queue, &port)
      }
      if served >= Self.callBatch { giveBack(&queue, &port) }
      guard spotByteCount < Self.spotLimit else { break }
    }
    return true
  }

  /// Gives a slot the chain that was just taken.
  @inline(__always)
  private mutating func keep(_ slot: Int) {
    if chains.copy(taken, to: slot) { return }
    if chains.grow(slot, for: taken, limit: Self.slotSegmentLimit) {
      _ = chains.copy(taken, to: slot)
    } else {
      large = slot
      exchangeLarge(slot)
    }
  }

  private mutating func takeCompletions(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    while let completion = ring.next() {
      if completion.tag < slots.count {
        noteTransfer(completion.tag, completion.result, &queue, &port)
      } else if completion.tag == syncTag {
        noteSync(completion.result, &queue, &port)
      } else {
        noteWatch(completion, &port)
      }
    }
  }

  private mutating func finish(
    _ slot: Int, _ status: BlockStatus, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    let request = slots[slot].request
    if slots[slot].isWatched {
      slots[slot].isWatched = false
      state.endWrite(request)
    }
    let written = request.answer(status, chains[slot])
    queue.stage(chains[slot], written: written)
    served &+= 1
    if status == .ok {
      port.meter.served(
        slot, bytesFromGuest: request.bytesFromGuest, bytesToGuest: request.bytesToGuest)
    } else {
      port.meter.countError()
      port.meter.served(slot)
    }
    if barrier == slot { barrier = nil }
    if large == slot {
      large = nil
      exchangeLarge(slot)
    }
    inFlight &-= 1
    free.prepend(slot, &slots)
  }

  /// Gives a slot the room for the longest chain, or takes it back.
  private mutating func exchangeLarge(_ slot: Int) {
    chains.exchange(slot, with: &taken)
    swap(&slots[slot].window, &largeWindow)
  }

  /// Shows the driver what this turn has finished, and calls it.
  private mutating func giveBack(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    guard served > 0 else { return }
    port.meter.settle()
    queue.publish()
    port.call(&queue)
    served = 0
  }

  // MARK: Transfers

  private mutating func perform(_ slot: Int, _ queue: inout Virtqueue, _ port: inout QueuePort) {
    let request = slots[slot].request
    switch request.kind {
    case .read, .write:
      Self.select(slot, request, chains, &slots)
      slots[slot].stage = .transfer
      slots[slot].isWatched = state.beginWrite(request)
      transfer(slot, &queue, &port)
    case .flush:
      awaitSync(slot, .durable)
    case .identify:
      request.identify(chains[slot], state)
      finish(slot, .ok, &queue, &port)
    case .refused:
      finish(slot, request.refusal, &queue, &port)
    }
  }

  /// Transfers what is left of a slot's data.
  @inline(__always)
  private mutating func transfer(_ slot: Int, _ queue: inout Virtqueue, _ port: inout QueuePort) {
    let request = slots[slot].request
    let left = slots[slot].window.byteCount
    guard left > 0 else { return noteTransferred(slot, &queue, &port) }
    let offset = request.offset &+ request.byteCount &- left
    if request.kind == .read ? readCached(slot, offset) : writeCached(slot, offset, &port) {
      return transfer(slot, &queue, &port)
    }
    guard file.isStraight(slots[slot].window, at: offset) else {
      return transferHere(slot, &queue, &port)
    }
    isPrepared = true
    Self.prepare(slot, request.kind, offset, slots, &ring)
  }

  /// Reads what the page cache has. - Returns: whether that was anything.
  @inline(__always)
  private mutating func readCached(_ slot: Int, _ offset: Int) -> Bool {
    guard readLuck.isWorthIt() else { return false }
    let count = file.readCached(slots[slot].window, at: offset)
    readLuck.note(count != nil)
    guard let count else { return false }
    spotByteCount &+= count
    slots[slot].window.advance(by: count)
    return true
  }

  /// Writes into the page cache. - Returns: whether that was anything.
  @inline(__always)
  private mutating func writeCached(
    _ slot: Int, _ offset: Int, _ port: inout QueuePort
  ) -> Bool {
    guard file.isBuffered, writeLuck.isWorthIt() else { return false }
    // This may wait, and what was prepared must not wait with it.
    if isPrepared { enter(&port, wait: false, timeout: nil) }
    let start = MonotonicClock.nanoseconds
    let count = file.writeCached(slots[slot].window, at: offset)
    let isQuick = MonotonicClock.nanoseconds &- start < Self.quickTime(count ?? 0)
    if !isQuick { port.meter.hasWaited() }
    writeLuck.note(count != nil && isQuick)
    guard let count else { return false }
    spotByteCount &+= count
    slots[slot].window.advance(by: count)
    return true
  }

  // Static: the compiler tells apart what two parameters are, but not what two addressors of self give.

  @inline(__always)
  private static func select(
    _ slot: Int, _ request: BlockRequest, _ chains: borrowing ChainPool,
    _ slots: inout SlotPool<RingSlot>
  ) {
    request.select(in: chains[slot], &slots[slot].window)
  }

  @inline(__always)
  private static func prepare(
    _ slot: Int, _ kind: BlockRequest.Kind, _ offset: Int,
    _ slots: borrowing SlotPool<RingSlot>, _ ring: inout Ring
  ) {
    if kind == .read {
      ring.read(slots[slot].window, at: offset, tag: slot)
    } else {
      ring.write(slots[slot].window, at: offset, tag: slot)
    }
  }

  /// Transfers what is left without the ring: what a ring cannot do, or would not.
  @inline(never)
  private mutating func transferHere(_ slot: Int, _ queue: inout Virtqueue, _ port: inout QueuePort)
  {
    let request = slots[slot].request
    let offset = request.offset &+ request.byteCount &- slots[slot].window.byteCount
    do throws(Errno) {
      try file.transfer(request.kind, &slots[slot].window, at: offset)
    } catch {
      return fail(slot, error, &queue, &port)
    }
    port.meter.hasWaited()
    noteTransferred(slot, &queue, &port)
  }

  @inline(__always)
  private mutating func noteTransfer(
    _ slot: Int, _ result: Int32, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    if result > 0 {
      slots[slot].window.advance(by: Int(result))
      transfer(slot, &queue, &port)
    } else {
      switch Errno(rawValue: -result) {
      // The last: direct I/O with less alignment than the device wants.
      case .again, .interrupted, .invalidArgument: transferHere(slot, &queue, &port)
      // The file ends before it should.
      case Errno(rawValue: 0): fail(slot, .io, &queue, &port)
      case let error: fail(slot, error, &queue, &port)
      }
    }
  }

  private mutating func fail(
    _ slot: Int, _ error: Errno, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    state.note(error, slots[slot].request)
    // Some of it may have been written.
    if slots[slot].request.kind == .write { state.noteWritten() }
    finish(slot, .ioError, &queue, &port)
  }

  @inline(__always)
  private mutating func noteTransferred(
    _ slot: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    let request = slots[slot].request
    if request.kind == .write { state.noteWritten() }
    if request.isBarrier || (request.kind == .write && state.isWriteThrough) {
      awaitSync(slot, .durable)
    } else {
      finish(slot, .ok, &queue, &port)
    }
  }

  // MARK: Durability

  private mutating func awaitSync(_ slot: Int, _ stage: RingSlot.Stage) {
    slots[slot].stage = stage
    waiting.append(slot, &slots)
  }

  /// Starts a sync if one is wanted and none is under way.
  private mutating func synchronize(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    while !isSyncing {
      if let barrier, inFlight == 1, slots[barrier].stage == .barrier {
        waiting.append(barrier, &slots)
      }
      guard !waiting.isEmpty else { return }
      syncing = waiting
      waiting = SlotList()
      sync = state.beginSync()
      if sync == nil {
        // Nothing to do, or nothing to be promised. What comes out of it may want the next one.
        endSync(&queue, &port)
      } else {
        isSyncing = true
        isPrepared = true
        ring.sync(tag: syncTag)
      }
    }
  }

  private mutating func noteSync(_ result: Int32, _ queue: inout Virtqueue, _ port: inout QueuePort)
  {
    isSyncing = false
    if let sync {
      if result == -Errno.again.rawValue {
        syncHere(sync)
      } else {
        state.endSync(sync, result < 0 ? Errno(rawValue: -result) : nil)
      }
    }
    endSync(&queue, &port)
  }

  /// Makes durable without the ring, which has not taken the sync.
  private mutating func syncHere(_ sync: SyncLedger.Ticket) {
    do throws(Errno) {
      try file.sync()
      state.endSync(sync)
    } catch {
      state.endSync(sync, error)
    }
  }

  /// Goes on with the slots that the sync has served. What they are depends on the state: after a
  /// failure, no sync is to be trusted, this one included.
  private mutating func endSync(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    let isDurable = !state.hasSyncFailed
    while let slot = syncing.takeFirst(&slots) {
      if !isDurable {
        finish(slot, .ioError, &queue, &port)
      } else if slots[slot].stage == .barrier, slots[slot].request.kind != .flush {
        perform(slot, &queue, &port)
      } else {
        finish(slot, .ok, &queue, &port)
      }
    }
  }
}
