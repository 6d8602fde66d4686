// SPDX-License-Identifier: Apache-2.0
//
// ThreadEngine: serves a queue's requests one after the other, with calls that wait.
//
// It needs nothing of the kernel but preadv, pwritev and fdatasync. Order comes by itself: what was given
// back before a request was taken is complete when the request runs, so a flush covers it, and a barrier
// needs a sync in front and one behind, no more.

import Linux
import VirtioRing

struct ThreadEngine<File: BlockFile & ~Copyable>: ~Copyable, QueueBody {
  private let file: File
  private let state: BlockState
  private var chain: Chain
  private var window: SegmentWindow

  /// The longest that a finished request may wait for the call of a whole batch, in nanoseconds.
  private static var callDelay: UInt64 { 50_000 }

  init(file: consuming File, state: BlockState) {
    self.file = file
    self.state = state
    chain = Chain(segmentCapacity: BlockRequest.segmentLimit)
    window = SegmentWindow()
  }

  mutating func run(_ queue: inout Virtqueue, _ port: inout QueuePort) throws(RingError) {
    while !port.isInterrupted {
      var lastCall = port.meter.now
      while !port.isInterrupted, try queue.pop(into: &chain) {
        port.meter.take()
        serve(&queue, &port)
        let now = port.meter.now
        if now &- lastCall > Self.callDelay {
          port.call(&queue)
          lastCall = now
        }
      }
      try port.sleep(&queue)
    }
  }

  private mutating func serve(_ queue: inout Virtqueue, _ port: inout QueuePort) {
    let request = BlockRequest(chain, state)
    let status = execute(request)
    let written = request.answer(status, chain)
    if status == .ok {
      port.meter.served(
        bytesFromGuest: request.bytesFromGuest, bytesToGuest: request.bytesToGuest)
    } else {
      port.meter.countError()
      port.meter.served()
    }
    port.meter.settle()
    queue.push(chain, written: written)
  }

  private mutating func execute(_ request: BlockRequest) -> BlockStatus {
    guard request.isBarrier else { return perform(request) }
    guard makeDurable() else { return .ioError }
    let status = perform(request)
    guard status == .ok else { return status }
    return makeDurable() ? .ok : .ioError
  }

  private mutating func perform(_ request: BlockRequest) -> BlockStatus {
    switch request.kind {
    case .read, .write:
      guard transfer(request) else { return .ioError }
      guard request.kind == .write, state.isWriteThrough, !request.isBarrier else { return .ok }
      return makeDurable() ? .ok : .ioError
    case .flush:
      return makeDurable() ? .ok : .ioError
    case .identify:
      request.identify(chain, state)
      return .ok
    case .refused:
      return request.refusal
    }
  }

  /// Moves a request's data. - Returns: whether it did.
  private mutating func transfer(_ request: BlockRequest) -> Bool {
    request.select(in: chain, &window)
    let isWatched = state.beginWrite(request)
    defer {
      if isWatched { state.endWrite(request) }
      if request.kind == .write { state.noteWritten() }
    }
    do throws(Errno) {
      try file.transfer(request.kind, &window, at: request.offset)
      return true
    } catch {
      state.note(error, request)
      return false
    }
  }

  /// Makes durable all that was written. - Returns: whether it is.
  private func makeDurable() -> Bool {
    if let sync = state.beginSync() {
      do throws(Errno) {
        try file.sync()
        state.endSync(sync)
      } catch {
        state.endSync(sync, error)
      }
    }
    return !state.hasSyncFailed
  }
}
