// SPDX-License-Identifier: Apache-2.0
//
// Virtqueue: the device's end of one ring, whichever format the driver chose.
//
// It is a value that cannot be copied: a transport makes it and moves it into the thread that works on
// it, and gets it back by move when that thread stops. Nobody else can touch a queue meanwhile, and
// the data path needs no lock. One branch tells the formats apart; there is no dynamic dispatch.
//
//     while try queue.pop(into: &chain) {      // materialised, validated, or an error
//       let written = serve(chain)
//       queue.push(chain, written: written)    // stage + publish
//     }
//     if queue.needsCall() { call() }
//     if try queue.enableKicks() { again }     // something came in between
//     sleep until kicked
//
// After an error the queue is broken: `pop` goes on throwing that error, nothing more is read from the ring,
// and what is in flight can still be given back.

/// One virtqueue, device side.
public struct Virtqueue: ~Copyable, @unchecked Sendable {
  // Sendable because it is not copyable: moving it is the only way to another thread, and a queue that
  // was moved cannot be used any more.

  /// A chain may have this many entries even on a short ring, if they are in an indirect table:
  /// Linux' drivers do that.
  static let minimumChainLimit = 1024

  /// The guest memory that the ring and its buffers lie in.
  public private(set) var memory: GuestMemory

  /// What the transport asked for, the position excepted.
  public let configuration: QueueConfiguration

  /// The error that broke the queue, if any.
  public private(set) var fault: RingError?

  /// Where pages that the device writes are recorded; nil records nothing.
  public var dirtyLog: DirtyLog?

  // Exactly one of them is there. Two optionals, not an enum: an enum of non-copyable values cannot be
  // changed in place. The packed one is in a box, so that to ask whether it is there is to compare a word: it has no
  // word of its own that cannot be 0.
  var split: SplitQueue?
  var packed: ScratchBox<PackedQueue>?

  /// Checks the configuration and takes the ring over.
  public init(
    _ configuration: QueueConfiguration, memory: GuestMemory, dirtyLog: DirtyLog? = nil
  ) throws(RingError) {
    self.configuration = configuration
    self.memory = memory
    self.dirtyLog = dirtyLog
    let placement = try RingPlacement(configuration, memory: memory)
    split = placement.split.map { SplitQueue(configuration, ring: $0, memory: memory) }
    packed = placement.packed.map {
      ScratchBox(PackedQueue(configuration, ring: $0, memory: memory))
    }
  }

  /// Whether the ring is a packed one.
  public var isPacked: Bool { packed != nil }

  /// How many chains were taken and not yet given back.
  public var inFlightCount: Int {
    switch split {
    case .some(let split): return Int(split.inFlightCount)
    case .none: break
    }
    switch packed {
    case .some(let packed): return Int(packed.value.inFlightCount)
    case .none: return 0
    }
  }

  /// Where the queue stands in its ring. Complete only when nothing is in flight and all is published.
  public var position: RingPosition {
    switch split {
    case .some(let split): return split.position
    case .none: break
    }
    switch packed {
    case .some(let packed): return packed.value.position
    case .none: return configuration.position
    }
  }

  /// Gives chains back in the order in which they are taken, from now on, as with IN_ORDER: one that is staged
  /// before an older one is held back here.
  ///
  /// Then the used side of the ring says what was given back and what was not, and a device that takes the
  /// ring over from one that was killed goes on there. The driver sees no difference.
  /// - Precondition: nothing is in flight.
  public mutating func keepOrder() {
    split?.keepOrder()
    packed?.value.keepOrder()
  }

  /// Goes on in another memory table: the ring is looked up anew, the position kept.
  ///
  /// - Precondition: nothing is in flight, and all that was staged is published.
  /// - Throws: `ringOutsideMemory` where the new table lacks the ring; the queue is broken then, and
  ///   keeps the old table.
  public mutating func replaceMemory(_ new: GuestMemory) throws(RingError) {
    precondition(inFlightCount == 0, "a request is in flight in the old memory")
    do {
      let placement = try RingPlacement(configuration, memory: new)
      if let ring = placement.split { split?.move(to: ring, memory: new) }
      if let ring = placement.packed { packed?.value.move(to: ring, memory: new) }
      memory = new
    } catch {
      fault = error
      throw error
    }
  }
}

// MARK: Taking chains

extension Virtqueue {
  /// Takes the next available chain.
  ///
  /// - Parameter chain: scratch that is filled; its content is undefined after an error.
  /// - Returns: false where the driver has made nothing more available.
  /// - Throws: what the driver did wrong. The queue is broken then and throws the same from now on.
  @inline(__always)
  public mutating func pop(into chain: inout Chain) throws(RingError) -> Bool {
    if let fault { throw fault }
    guard split != nil else { return try popPacked(into: &chain) }
    do {
      return try split?.pop(memory, into: &chain) ?? false
    } catch {
      fault = error
      throw error
    }
  }

  /// `pop` of a packed ring. Apart, so that each walk has a function's registers to itself.
  @inline(never)
  private mutating func popPacked(into chain: inout Chain) throws(RingError) -> Bool {
    do {
      return try packed?.value.pop(memory, into: &chain) ?? false
    } catch {
      fault = error
      throw error
    }
  }

  /// Gives the chain that was taken last back to the ring, as if it had not been taken.
  ///
  /// For a device that took a buffer and found nothing to put in it. Several can be given back, the
  /// last one first.
  /// - Precondition: the chain is in flight, and every chain taken after it was given back to the
  ///   ring in the same way.
  public mutating func unpop(_ chain: borrowing Chain) {
    split?.unpop(chain)
    packed?.value.unpop(chain)
  }

  /// Whether the driver has made something available. Never sleeps and writes nothing.
  public mutating func hasMore() throws(RingError) -> Bool {
    if let fault { throw fault }
    do {
      return try split?.hasMore() ?? packed?.value.hasMore() ?? false
    } catch {
      fault = error
      throw error
    }
  }

  /// Takes the buffers in indirect tables of a packed ring to be device-readable, whatever they say.
  ///
  /// For queues on which the device only reads. DPDK's network driver marks the header in such a table as
  /// device-writable, in front of device-readable buffers, which virtio forbids (1.3, 2.7.4.2) and other
  /// devices do not look at.
  public mutating func ignoreWriteInTables() { packed?.value.readsTables = true }
}

// MARK: Giving chains back

extension Virtqueue {
  /// Gives a chain back: the driver may see it from now on.
  ///
  /// - Parameters:
  ///   - chain: one that was popped and not yet given back.
  ///   - written: how many bytes of the device-writable part were written, from its start.
  /// - Precondition: the chain is in flight in this queue.
  @inline(__always)
  public mutating func push(_ chain: borrowing Chain, written: UInt32) {
    guard dirtyLog == nil else { return pushRecorded(chain, written: written) }
    if split?.push(chain, written: written) == nil { packed?.value.push(chain, written: written) }
  }

  /// `push` while a migration is under way. Apart, so that the usual one has nothing to save.
  @inline(never)
  private mutating func pushRecorded(_ chain: borrowing Chain, written: UInt32) {
    stage(chain, written: written)
    publish()
  }

  /// Gives a chain back without showing it yet: chains that belong together (a packet over several
  /// buffers) become visible together with `publish`.
  ///
  /// With IN_ORDER, or after `keepOrder`, a chain that was taken later than one still in flight is held back here.
  @inline(__always)
  public mutating func stage(_ chain: borrowing Chain, written: UInt32) {
    if dirtyLog != nil { recordWrites(chain, written: written) }
    split?.stage(chain, written: written)
    packed?.value.stage(chain, written: written)
  }

  /// Shows the driver everything that was staged.
  @inline(__always)
  public mutating func publish() {
    split?.publish()
    packed?.value.publish()
    if dirtyLog != nil { recordRing() }
  }

  /// Marks the pages of the buffers that the device has written. Only while a migration is under way.
  @inline(never)
  private func recordWrites(_ chain: borrowing Chain, written: UInt32) {
    guard let log = dirtyLog else { return }
    var remaining = UInt64(written)
    for index in chain.readableCount..<chain.segmentCount where remaining > 0 {
      let segment = chain.storage[index]
      let count = min(remaining, UInt64(segment.byteCount))
      if let address = memory.guestAddress(ofHost: segment.address) {
        log.mark(address, count: count)
      }
      remaining &-= count
    }
    // A device may write a status at the very end and count less as written: a failed block read.
    guard chain.segmentCount > chain.readableCount else { return }
    let last = chain.storage[chain.segmentCount &- 1]
    if let address = memory.guestAddress(ofHost: last.address) {
      log.mark(address &+ UInt64(last.byteCount) &- 1, count: 1)
    }
  }

  /// Marks the pages of the ring that the device writes. Always after the write: a page that is
  /// copied between a mark and its write would miss the write.
  ///
  /// The whole used area: it is a page or a few, and a bit too many costs a page of copying.
  @inline(never)
  private func recordRing() {
    guard let log = dirtyLog else { return }
    switch configuration.layout {
    case .split(_, _, let used): log.mark(used, count: 6 + UInt64(configuration.size) * 8)
    case .packed(let descriptors, _, let deviceEvent):
      log.mark(descriptors, count: UInt64(configuration.size) * 16)
      log.mark(deviceEvent, count: 4)
    }
  }
}

// MARK: Kicks and calls

extension Virtqueue {
  /// Tells the driver that kicks are not needed: the device is at work and will look by itself.
  public mutating func disableKicks() {
    split?.disableKicks()
    packed?.value.disableKicks()
    if dirtyLog != nil { recordRing() }
  }

  /// Asks the driver for a kick with the next chain.
  ///
  /// - Returns: true where chains are available already: serve them, no kick will come for them.
  public mutating func enableKicks() throws(RingError) -> Bool {
    if let fault { throw fault }
    defer { if dirtyLog != nil { recordRing() } }
    do {
      return try split?.enableKicks() ?? packed?.value.enableKicks() ?? false
    } catch {
      fault = error
      throw error
    }
  }

  /// Whether the driver wants a call for what was published since this was asked last.
  ///
  /// Asking consumes the answer: whoever gets true makes the call.
  public mutating func needsCall() -> Bool {
    split?.needsCall() ?? packed?.value.needsCall() ?? false
  }
}
