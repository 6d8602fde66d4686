// SPDX-License-Identifier: Apache-2.0
//
// IOUring: the kernel's submission ring, through liburing. A fence file, as GuestIO.swift is.
//
// The ring serves one thread and one file. The file is registered, so that the kernel need not look up and
// count a descriptor for each request, and completions are left to the moment when the thread asks for them
// (DEFER_TASKRUN), so that they come in batches and never interrupt it. Older kernels that lack some of
// that get a plainer ring.

import CLiburing
import Glibc
import Linux

@safe
struct IOUring: ~Copyable, BlockRing, @unchecked Sendable {
  // Sendable because it is not copyable: whoever holds it is the only one who reaches the ring.
  private let ring: UnsafeMutablePointer<io_uring>
  private var isEnabled = false
  /// What the kernel would not take, to be told as completions.
  private var refused: [RingCompletion] = []
  /// Whether the last request was refused: then the next one is not tried for long.
  private var isRefusing = false

  /// How often the kernel is asked to take what fills the ring before a request is refused, a millisecond
  /// apart. It refuses for want of memory, so that is not much.
  private static let patience = 50

  /// From the newest kernels' to what every kernel with io_uring has.
  private static let setups: [UInt32] = [
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,  // 6.1
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,  // 5.19
    0,
  ]

  /// What the engine uses.
  private static let operations = [
    IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
    IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
  ]

  /// Makes a ring.
  ///
  /// - Parameters:
  ///   - entries: how many requests can be prepared between two calls of `enter`.
  ///   - descriptor: the file of all transfers, kept open by the ring as well.
  /// - Throws: `.permission` or `.notImplemented` where there is no io_uring for us, or what else the
  ///   kernel refuses.
  init(entries: UInt32, descriptor: Int32) throws(Errno) {
    let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
    // SAFETY: freshly allocated.
    unsafe ring.initialize(to: io_uring())
    do throws(Errno) {
      // SAFETY: freshly allocated; after a failure nothing uses it.
      try unsafe Self.setUp(ring, entries, descriptor)
    } catch {
      unsafe ring.deallocate()
      throw error
    }
    unsafe self.ring = unsafe ring
  }

  deinit {
    // SAFETY: set up in init. Nothing is in flight: the engine's body ends only then.
    unsafe io_uring_queue_exit(ring)
    unsafe ring.deallocate()
  }

  /// - Safety: `ring` must be writable, and no set-up ring.
  @unsafe
  private static func setUp(
    _ ring: UnsafeMutablePointer<io_uring>, _ entries: UInt32, _ descriptor: Int32
  ) throws(Errno) {
    var result: Int32 = -EINVAL
    for setup in setups {
      var parameters = io_uring_params()
      // Disabled: the thread that enables it becomes the one that it serves.
      parameters.flags = setup | IORING_SETUP_R_DISABLED
      // SAFETY: the ring is the caller's, the parameters are a local.
      result = unsafe io_uring_queue_init_params(entries, ring, &parameters)
      guard result == -EINVAL else { break }
    }
    guard result == 0 else { throw Errno(rawValue: -result) }
    do throws(Errno) {
      try unsafe checkOperations(ring)
      var file = descriptor
      // SAFETY: the call reads one descriptor from a local.
      result = unsafe io_uring_register_files(ring, &file, 1)
      guard result == 0 else { throw Errno(rawValue: -result) }
    } catch {
      unsafe io_uring_queue_exit(ring)
      throw error
    }
  }

  /// - Safety: `ring` must be set up.
  @unsafe
  private static func checkOperations(_ ring: UnsafeMutablePointer<io_uring>) throws(Errno) {
    // SAFETY: the probe is freed here, once.
    guard let probe = unsafe io_uring_get_probe_ring(ring) else { throw .notImplemented }
    defer { unsafe io_uring_free_probe(probe) }
    for operation in operations {
      guard unsafe io_uring_opcode_supported(probe, Int32(operation.rawValue)) != 0 else {
        throw .notImplemented
      }
    }
  }

  // MARK: Preparing

  mutating func begin() {
    guard !isEnabled else { return }
    isEnabled = true
    // SAFETY: set up in init. io_uring_enable_rings is this call; liburing 2.3 forgot to export it.
    let result = unsafe io_uring_register(
      UInt32(ring.pointee.ring_fd), UInt32(IORING_REGISTER_ENABLE_RINGS), nil, 0)
    precondition(result == 0, "io_uring: cannot enable a new ring: \(Errno(rawValue: -result))")
    // Saves looking up the ring's own descriptor; where the kernel lacks that, nothing is lost.
    _ = unsafe io_uring_register_ring_fd(ring)
  }

  /// Fills the next free entry, with a tag. Where the kernel takes nothing, the request is refused.
  ///
  /// - Safety: `fill` must not keep the entry.
  @unsafe
  @inline(__always)
  private mutating func entry(
    _ tag: Int, _ fill: (UnsafeMutablePointer<io_uring_sqe>) -> Void
  ) {
    // SAFETY: set up in init; an entry is ours until it is submitted.
    var entry = unsafe io_uring_get_sqe(ring)
    if unsafe entry == nil { unsafe entry = unsafe makeRoom() }
    guard let entry = unsafe entry else {
      refused.append(RingCompletion(tag: tag, result: -EAGAIN))
      return
    }
    unsafe fill(entry)
    unsafe entry.pointee.user_data = UInt64(tag)
  }

  /// Submits what fills the ring.
  ///
  /// - Returns: a free entry; nil where the kernel, asked again and again, has taken none.
  /// - Safety: the entry must be filled before anything else is done with the ring.
  @unsafe
  @inline(never)
  private mutating func makeRoom() -> UnsafeMutablePointer<io_uring_sqe>? {
    for attempt in 0..<(isRefusing ? 1 : Self.patience) {
      if isRefusing || attempt > 0 { usleep(1000) }
      submit(wait: false, timeout: nil)
      // SAFETY: set up in init.
      if let entry = unsafe io_uring_get_sqe(ring) {
        isRefusing = false
        return unsafe entry
      }
    }
    isRefusing = true
    return nil
  }

  // SAFETY (both transfers): the pieces lie in guest memory, which their queue keeps mapped until the
  // chain is given back; the list itself stays where it is, by this protocol's terms.

  @inline(__always)
  mutating func read(_ window: borrowing SegmentWindow, at offset: Int, tag: Int) {
    let pieces = unsafe window.vectors
    unsafe entry(tag) { entry in
      if pieces.count == 1 {
        unsafe io_uring_prep_read(
          entry, 0, pieces[0].iov_base, Self.length(pieces[0].iov_len), UInt64(offset))
      } else {
        unsafe io_uring_prep_readv(
          entry, 0, pieces.baseAddress, UInt32(pieces.count), UInt64(offset))
      }
      unsafe entry.pointee.flags = Self.registeredFile
    }
  }

  @inline(__always)
  mutating func write(_ window: borrowing SegmentWindow, at offset: Int, tag: Int) {
    let pieces = unsafe window.vectors
    unsafe entry(tag) { entry in
      if pieces.count == 1 {
        unsafe io_uring_prep_write(
          entry, 0, pieces[0].iov_base, Self.length(pieces[0].iov_len), UInt64(offset))
      } else {
        unsafe io_uring_prep_writev(
          entry, 0, pieces.baseAddress, UInt32(pieces.count), UInt64(offset))
      }
      unsafe entry.pointee.flags = Self.registeredFile
    }
  }

  mutating func sync(tag: Int) {
    unsafe entry(tag) { entry in
      unsafe io_uring_prep_fsync(entry, 0, IORING_FSYNC_DATASYNC)
      unsafe entry.pointee.flags = Self.registeredFile
    }
  }

  mutating func watch(_ descriptor: Int32, tag: Int) {
    unsafe entry(tag) { entry in
      unsafe io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN))
    }
  }

  mutating func unwatch(tag: Int, ignoredTag: Int) {
    unsafe entry(ignoredTag) { entry in
      unsafe io_uring_prep_cancel64(entry, UInt64(tag), 0)
    }
  }

  private static let registeredFile = UInt8(1) << UInt8(IOSQE_FIXED_FILE_BIT)

  /// More than 2 GiB in one piece is done in two transfers.
  @inline(__always)
  private static func length(_ byteCount: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: min(byteCount, 0x7fff_f000))
  }

  // MARK: Submitting and completing

  mutating func enter(wait: Bool, timeout: Duration?) {
    submit(wait: wait && refused.isEmpty, timeout: timeout)
  }

  private mutating func submit(wait: Bool, timeout: Duration?) {
    var result: Int32
    if let timeout, wait {
      let nanoseconds = max(0, timeout / .nanoseconds(1))
      var time = __kernel_timespec(tv_sec: 0, tv_nsec: Int64(nanoseconds))
      time.tv_sec = Int64(nanoseconds / 1e9)
      time.tv_nsec -= time.tv_sec * 1_000_000_000
      // SAFETY: set up in init; the other arguments are locals.
      var completion: UnsafeMutablePointer<io_uring_cqe>?
      result = unsafe io_uring_submit_and_wait_timeout(ring, &completion, 1, &time, nil)
    } else if wait {
      result = unsafe io_uring_submit_and_wait(ring, 1)
    } else {
      result = unsafe io_uring_submit_and_get_events(ring)
    }
    // Interrupted, out of memory for a moment, or completions to be taken first: the caller comes again,
    // and what was not submitted is still there. EBADFD: the ring was not enabled. Any other answer says that
    // this is no ring of this thread's. Then the kernel may still write to the guest's memory, and nobody
    // will ever hear when it has ended: there is no state to go on from.
    guard result < 0 else { return }
    switch -result {
    case EINTR, EAGAIN, EBUSY, ETIME, ENOMEM, EBADFD: break
    default: preconditionFailure("io_uring_enter: \(Errno(rawValue: -result))")
    }
  }

  @inline(__always)
  mutating func next() -> RingCompletion? {
    if !refused.isEmpty { return refused.removeFirst() }
    // SAFETY: set up in init. A completion is read before it is given back, and only then.
    guard unsafe io_uring_cq_ready(ring) > 0 else { return nil }
    var completion: UnsafeMutablePointer<io_uring_cqe>?
    guard unsafe io_uring_peek_cqe(ring, &completion) == 0,
      let completion = unsafe completion
    else { return nil }
    let taken = RingCompletion(
      tag: Int(truncatingIfNeeded: unsafe completion.pointee.user_data),
      result: unsafe completion.pointee.res)
    unsafe io_uring_cqe_seen(ring, completion)
    return taken
  }
}
