// SPDX-License-Identifier: Apache-2.0
//
// NetReceiver: from the host to the driver (virtio 1.3, 5.1.6.3), one system call a frame.
//
//     take buffers -> read a frame into them -> check and write the header -> give them back
//          |                  |
//     no buffers:        no frame:
//     sleep for a kick   sleep for the tap
//
// Buffers are taken before the frame is read, as a tap tells its length only by giving it, and stay
// taken until one fits. So there is one thing to wait for at a time: without buffers the tap may be
// as full as it likes, with buffers the driver may kick as it likes, and neither makes the thread
// spin.
//
// How many buffers to take is forecast from the frames before. Where the forecast was too small,
// the rest of the frame is in the window's spill; with MRG_RXBUF more buffers are then taken for
// it, without it the frame is dropped and its buffer kept.
//
// The driver is called as lguest does it: not for every frame, but before each sleep. Where frames are few and
// far between (`FramePace`), the next one is not looked for first: the driver is called at once, and the
// thread sleeps in the read of the tap, one system call in place of three. While they come fast the tap
// does not wait, and a read that finds nothing is what ends a batch.

import Linux
import VirtioRing

struct NetReceiver: QueueBody, ~Copyable {
  /// How many buffers one frame may take: 64 KiB in the smallest ones that drivers use.
  private static let bufferLimit = 64

  private let name: String
  private let tap: FileDescriptor
  /// Whether the tap may be made to wait.
  private let mayWait: Bool
  private let format: NetFormat
  private let link: NetLink
  private let trouble: TroubleReport
  /// How long a driver may take to give more buffers for a frame that has been read.
  private let patience: Duration
  private var window = FrameWindow(spillCapacity: NetFormat.maximumFrame + 1)
  private var held: HeldChains
  private var forecast = FrameForecast()
  private var pace = FramePace()
  /// Whether the tap waits now.
  private var isWaiting = false

  init(
    name: String, tap: consuming FileDescriptor, mayWait: Bool, format: NetFormat, link: NetLink,
    trouble: TroubleReport, patience: Duration
  ) {
    self.name = name
    self.tap = tap
    self.mayWait = mayWait
    self.format = format
    self.link = link
    self.trouble = trouble
    self.patience = patience
    held = HeldChains(capacity: format.mergesBuffers ? Self.bufferLimit : 1)
  }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    defer {
      held.returnAll(to: &queue)
      setWaiting(false, &port)
    }
    while !port.isInterrupted {
      guard try takeBuffers(&queue, &port) else {
        try port.sleep(&queue)
        continue
      }
      let total: Int
      do throws(Errno) {
        // There may be a frame from here on.
        if !isWaiting { _ = port.meter.now }
        total = try window.read(from: tap)
        if isWaiting { port.meter.hasWaited() }
      } catch {
        waitForFrame(after: error, &queue, &port)
        continue
      }
      try deliver(total, &queue, &port)
      if pace.isSlow != isWaiting, mayWait { setWaiting(pace.isSlow, &port) }
      if isWaiting { port.call(&queue) }
    }
  }

  // MARK: Waiting

  /// Makes reads of the tap wait, or fail where there is no frame. Out of line: it is rare.
  @inline(never)
  private mutating func setWaiting(_ waits: Bool, _ port: inout QueuePort) {
    guard waits != isWaiting else { return }
    // Told before the first call that waits, and until after the last.
    if waits { port.setWaitsInOwnCall(true) }
    do throws(Errno) {
      try tap.setNonBlocking(!waits)
      if !waits { port.setWaitsInOwnCall(false) }
      isWaiting = waits
      // Left before anybody could know that this thread waits.
      if waits { port.takeMail() }
    } catch {
      // fcntl has no reason to fail. If it does, whatever the tap does is taken as it comes.
      isWaiting = false
    }
  }

  /// Holds as many buffers as the next frame is likely to take, and lays the window over them.
  ///
  /// - Returns: false where there are none.
  @inline(__always)
  private mutating func takeBuffers(
    _ queue: inout Virtqueue, _ port: inout QueuePort
  ) throws(RingError) -> Bool {
    let wanted = forecast.byteCount
    while held.byteCount < wanted, !held.isFull, !port.isInterrupted {
      guard try held.take(from: &queue) else { break }
      rejectShort(&queue, &port)
    }
    guard held.count > 0 else { return false }
    window.begin(headerSize: format.headerSize)
    var skip = format.headerSize
    var index = 0
    while index < held.count, window.guestBytes < wanted {
      guard
        window.append(
          .writable, of: held[index], skipping: skip, limit: wanted &- window.guestBytes)
      else { break }
      skip = 0
      index &+= 1
    }
    window.appendSpill()
    return true
  }

  /// Gives back the oldest buffer if no frame can start in it: it lacks the room for a header.
  ///
  /// Only the oldest one: later ones may be too short for that, but serve as the rest of a frame.
  @inline(__always)
  private mutating func rejectShort(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    while held.count > 0, held[0].writableBytes < format.headerSize {
      held.stageOldest(in: &queue, written: 0)
      port.meter.countError()
      port.meter.returned(chains: 1)
      port.meter.settle()
      queue.publish()
      trouble.report("\(name): the driver gave a receive buffer without room for the header")
    }
  }

  /// Nothing could be read: sleeps until that may have changed.
  private mutating func waitForFrame(
    after error: Errno, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    if error == .interrupted {
      port.takeMail()
      return
    }
    if isWaiting {
      // A read that waits fails in its own way when the interface goes. The next one tells more.
      return setWaiting(false, &port)
    }
    if error == .again {
      _ = port.sleepInRequest(&queue, for: WakeSource(tap.raw, .readable))
      return
    }
    if TapBackend.isGone(error) {
      link.lose()
    } else {
      trouble.report("\(name): cannot read from the host's interface: \(error)")
    }
    // A descriptor that failed says so to every poll: only the control thread is listened to, or
    // time, where the failure may pass.
    let timeout = link.isGone ? nil : Duration.seconds(1)
    _ = port.sleepInRequest(&queue, for: .none, timeout: timeout)
  }

  // MARK: Delivering

  /// Gives the frame that was read to the driver, or drops it.
  ///
  /// - Parameter total: its length with the header.
  @inline(__always)
  private mutating func deliver(
    _ total: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) throws(RingError) {
    let headerSize = format.headerSize
    guard total > 0 else { return ended(&queue, &port) }
    guard link.isWanted else { return port.meter.countDropped() }
    do throws(FrameFault) {
      let header = window.netHeader
      var checked = try header.checked(
        frameBytes: total &- headerSize, offloads: format.receiveOffloads)
      if format.receiveOffloads.contains(.checksum) {
        checked.flags |= header.flags & NetHeader.Flag.dataValid
      }
      window.netHeader = checked
    } catch {
      port.meter.countDropped()
      return
    }
    forecast.saw(total)
    port.meter.take()
    if total > held.byteCount {
      guard try awaitRoom(for: total, &queue, &port) else {
        port.meter.giveUp()
        port.meter.countDropped()
        return
      }
    }
    let placed = headerSize &+ window.guestBytes
    if total > placed { placeSpill(from: placed, to: total) }
    store(total, &queue, &port)
  }

  /// Takes more buffers until they hold the frame. - Returns: false where they will not.
  @inline(never)
  private mutating func awaitRoom(
    for total: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) throws(RingError) -> Bool {
    guard format.mergesBuffers else { return false }
    let start = MonotonicClock.nanoseconds
    while held.byteCount < total {
      guard !held.isFull, !port.isInterrupted else { return false }
      if try held.take(from: &queue) { continue }
      let left = patience - .nanoseconds(MonotonicClock.nanoseconds &- start)
      guard left > .zero else { return false }
      try port.sleep(&queue, timeout: left)
    }
    return true
  }

  /// Copies what is in the spill to where it belongs.
  ///
  /// - Parameters: positions in the frame, counted from the start of the header.
  @inline(never)
  private func placeSpill(from start: Int, to end: Int) {
    var chainStart = 0
    var position = start
    for index in 0..<held.count where position < end {
      let chainEnd = chainStart &+ held[index].writableBytes
      if chainEnd > position {
        let count = min(chainEnd, end) &- position
        let range = (position &- start)..<(position &- start &+ count)
        let copied = window.copySpill(range, to: held[index], at: position &- chainStart)
        precondition(copied == count, "the chain holds that many bytes")
        position &+= count
      }
      chainStart = chainEnd
    }
  }

  /// Writes the header, then gives back all buffers of the frame together.
  ///
  /// - Precondition: the buffers hold `total` bytes, the first one the header.
  @inline(__always)
  private mutating func store(
    _ total: Int, _ queue: inout Virtqueue, _ port: inout QueuePort
  ) {
    var bufferCount = 0
    var left = total
    while left > 0 {
      left &-= held[bufferCount].writableBytes
      bufferCount &+= 1
    }
    // 1 without MRG_RXBUF too, as long as the field is there (virtio 1.3, 5.1.6.4.1).
    window.netHeader.bufferCount = UInt16(truncatingIfNeeded: bufferCount)
    let isStored = window.storeHeader(in: held[0], size: format.headerSize)
    precondition(isStored, "the first buffer holds the header")
    left = total
    for _ in 0..<bufferCount {
      let written = min(left, held[0].writableBytes)
      held.stageOldest(in: &queue, written: written)
      left &-= written
    }
    port.meter.served(chains: bufferCount, bytesToGuest: total &- format.headerSize)
    port.meter.settle()
    pace.saw(at: port.meter.now)
    queue.publish()
    rejectShort(&queue, &port)
  }

  /// Nothing at all was read: an empty message, or the other end of a socket was closed.
  private func ended(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    do throws(Errno) {
      guard try Poll.wait(for: [], on: tap, timeout: .zero).contains(.hangup) else {
        return port.meter.countDropped()
      }
    } catch {
      // Without an answer the end is the safe guess: it cannot spin.
    }
    link.lose()
    _ = port.sleepInRequest(&queue, for: .none)
  }
}

/// Whether frames come one by one, so that there is no use in looking for the next before the driver is told of
/// the last.
struct FramePace: Sendable {
  /// In nanoseconds: several times what a call and the driver's interrupt cost.
  private static let gap: UInt64 = 50_000
  private static let patience = 2

  private var last: UInt64 = 0
  private var slowRun = 0

  /// Whether the last frames came one by one.
  var isSlow: Bool {
    @inline(__always) get { slowRun == Self.patience }
  }

  /// Learns from a frame that came at that time, in nanoseconds of `MonotonicClock`.
  @inline(__always)
  mutating func saw(at time: UInt64) {
    let isSlow = time &- last > Self.gap
    last = time
    slowRun = isSlow ? min(slowRun &+ 1, Self.patience) : 0
  }
}

/// How long the next frame is likely to be.
///
/// Taking too few buffers costs a copy of the rest, taking too many makes system calls slower, so a
/// long frame is expected until many short ones have come.
struct FrameForecast: Sendable {
  private static let short = 2048
  private static let long = NetFormat.maximumFrame + NetHeader.longSize
  private static let patience = 64

  /// In bytes, with the header.
  private(set) var byteCount = short
  private var shortRun = 0

  /// Learns from a frame of that many bytes, with the header.
  @inline(__always)
  mutating func saw(_ total: Int) {
    if total > Self.short {
      byteCount = Self.long
      shortRun = 0
    } else if byteCount != Self.short {
      shortRun &+= 1
      if shortRun == Self.patience {
        byteCount = Self.short
        shortRun = 0
      }
    }
  }
}
