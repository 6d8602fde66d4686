// SPDX-License-Identifier: Apache-2.0
//
// BlockDevice: a disk (virtio 1.3, 5.2), the control side.
//
// Requests are served by one of two engines (ThreadEngine.swift, UringEngine.swift) on the queues'
// threads; what they and this side share is in BlockState.swift. All that can fail for want of rights,
// files and locks fails when the device is made.

public import Linux
import Synchronization
public import VirtioRing

/// A disk.
public final class BlockDevice: Device {
  /// A block device.
  public let id = DeviceID.block
  /// The device's short name.
  public let name: String
  /// What the disk can do.
  public let offeredFeatures: Features
  /// As many as `BlockOptions.queueCount`.
  public let queueSizes: [UInt16]
  /// Signals when the capacity has changed.
  public let configurationChange = ChangeSignal()
  /// Both engines give back in order.
  public let givesBackInOrder = true
  /// The counters of each queue.
  public let statistics: [QueueStatistics]

  /// The engine in use: `io_uring` or `threads`.
  public let engineName: String
  /// Why it is not io_uring, where that was wanted if possible: one line.
  public let engineNote: String?

  private let options: BlockOptions
  let image: BlockImage
  private let files: [QueueFile]
  private let state: BlockState
  private let makeRing: RingMaker

  /// The most bytes in a segment.
  private static let sizeMax: UInt32 = 4 << 20
  /// The largest size of a queue, and the one size of a legacy queue.
  private static let queueSize = 1024
  private static let legacyQueueSize = 256
  /// Header and status of a request.
  private static let frameSegmentCount = 2
  /// With header and status, a request of so many segments fits the queue of 128 that is usual.
  private static let segmentMax = 126
  /// What legacy drivers, whose queues always have 256 entries, were told from the start.
  private static let legacySegmentMax = 254
  /// Bytes behind the last whole block.
  private let rest: Atomic<UInt64>

  /// Opens and locks an image and makes a disk of it.
  ///
  /// - Throws: the option that makes no sense, or what the host refuses, with the image's path.
  public convenience init(name: String, options: BlockOptions) throws(DeviceError) {
    try self.init(name: name, options: options) { (entries, descriptor) throws(Errno) in
      try IOUring(entries: entries, descriptor: descriptor)
    }
  }

  /// - Parameter makeRing: makes the rings.
  init(
    name: String, options: BlockOptions, makeRing: @escaping RingMaker
  ) throws(DeviceError) {
    ThreadStarter.prepare()
    self.name = name
    self.options = options
    self.makeRing = makeRing
    image = try BlockImage(options)
    let size = try image.readSizes()
    rest = Atomic(size.rest)
    var files: [QueueFile] = []
    for _ in 0..<options.queueCount {
      files.append(QueueFile(try image.openFile(bounces: false)))
    }
    self.files = files
    state = BlockState(
      options, capacity: size.whole / UInt64(BlockRequest.sectorByteCount),
      trouble: TroubleReport(options.onTrouble))
    let descriptor = files[0].file.mainDescriptor
    (engineName, engineNote) = try Self.chooseEngine(options) { () throws(Errno) in
      _ = try makeRing(8, descriptor)
    }
    offeredFeatures = Self.features(options)
    queueSizes = Self.queueSizes(options)
    statistics = (0..<options.queueCount).map { _ in QueueStatistics("requests") }
    showDurability()
  }

  package static func queueSizes(_ options: BlockOptions) -> [UInt16] {
    let size = options.queueSize ?? (options.isLegacy ? legacyQueueSize : queueSize)
    return Array(repeating: UInt16(size), count: options.queueCount)
  }

  /// The most data segments of a request. A driver reads it before anybody knows which size it chooses for a
  /// queue, so it goes by the largest one: without indirect descriptors a request has to fit the ring.
  private var segmentMax: Int {
    let usual = options.isLegacy ? Self.legacySegmentMax : Self.segmentMax
    return min(usual, Int(queueSizes[0]) - Self.frameSegmentCount)
  }

  private static func features(_ options: BlockOptions) -> Features {
    var features = Features.allRing
    features.formUnion([.blockSizeMax, .blockSegmentMax, .blockBlockSize, .blockTopology])
    features.formUnion([.blockFlush, .blockConfigWriteback])
    if options.isReadOnly { features.insert(.blockReadOnly) }
    if options.queueCount > 1 { features.insert(.blockMultiqueue) }
    if options.isLegacy { features.insert(.blockBarrier) }
    return features
  }

  private static let uringName = "io_uring"

  /// Makes a ring: how many entries, and for which file.
  typealias RingMaker = @Sendable (UInt32, Int32) throws(Errno) -> IOUring

  /// Decides who talks to the kernel.
  ///
  /// - Parameter probe: tries io_uring.
  static func chooseEngine(
    _ options: BlockOptions, probe: () throws(Errno) -> Void
  ) throws(DeviceError) -> (name: String, note: String?) {
    guard options.engine != .threads else { return ("threads", nil) }
    do throws(Errno) {
      try probe()
      return (uringName, nil)
    } catch {
      guard options.engine == .auto else {
        throw DeviceError(
          "serve image \(options.path) with io_uring", "\(error); use engine=threads")
      }
      return ("threads", "io_uring cannot be used: \(error)")
    }
  }

  /// Why io_uring cannot be used in this process; nil where it can.
  public static var uringTrouble: Errno? {
    do throws(Errno) {
      let file = try Memfd.create(name: "probe", size: 4096)
      _ = try IOUring(entries: 8, descriptor: file.raw)
      return nil
    } catch {
      return error
    }
  }

  /// Counts the disk's writes, for those who read beside the guest.
  func watchWrites() -> WriteWatch { state.watchWrites() }

  // MARK: Configuration

  /// The disk's size in bytes, as the driver is told.
  public var byteCount: UInt64 { state.capacity * UInt64(BlockRequest.sectorByteCount) }

  /// What of the image its guest does not see, in one line; nil where that is nothing.
  public var sizeNote: String? {
    let rest = rest.load(ordering: .relaxed)
    guard rest > 0 else { return nil }
    let (path, block) = (options.path, options.blockSize)
    let advice =
      image.isBlockDevice
      ? "serve it with blocks of 512" : "make it longer with 'truncate -s %\(block) \(path)'"
    return "\(path): its last bytes, \(rest) from byte \(byteCount) on, are less than a block of"
      + " \(block) and not on the disk; \(advice)"
  }

  /// The configuration space (virtio 1.3, 5.2.4), up to and with `num_queues`.
  public func configuration() -> [UInt8] {
    BlockConfiguration(
      capacity: state.capacity, sizeMax: Self.sizeMax, segmentMax: UInt32(segmentMax),
      blockSize: UInt32(options.blockSize), physicalBlockSize: UInt32(image.physicalBlockSize),
      isWriteback: state.isWriteback, queueCount: UInt16(options.queueCount)
    ).bytes
  }

  /// Takes a write of `writeback`, the only field that a driver may write, and with CONFIG_WCE only.
  ///
  /// Switching to write-through makes durable what was written before.
  public func writeConfiguration(at offset: Int, _ bytes: [UInt8]) -> Bool {
    defer { showDurability() }
    return state.writeConfiguration(at: offset, bytes, file: files[0].file)
  }

  /// Settles how durable a write is: without a way to ask for durability, each write is.
  public func driverAccepted(_ features: Features) {
    state.accept(features.intersection(offeredFeatures))
    showDurability()
  }

  private func showDurability() {
    for queue in statistics { queue.note(state.writeDurability) }
  }

  /// Forgets the driver and a failed flush. The cache mode stays: see BlockState.swift.
  public func reset() {
    state.reset()
    showDurability()
  }

  /// Makes every write durable where this process has not been told the mode that the driver chose.
  public func driverReturned() {
    guard state.driverReturned() else { return }
    showDurability()
    state.trouble.report(
      "\(name): each write is synced, since its driver was there before this process and may count on"
        + " write-through; until the driver chooses write-back (in a Linux guest: echo write back"
        + " > /sys/block/vdX/cache_type), or guest and this process have both been started anew")
  }

  /// Looks at the image's size again, and tells the driver where it has changed.
  ///
  /// - Throws: where the image cannot be looked at, or has become shorter than a block; the disk keeps
  ///   the size that it had.
  public func refreshSize() throws(DeviceError) {
    let size = try image.readSizes()
    rest.store(size.rest, ordering: .relaxed)
    let capacity = size.whole / UInt64(BlockRequest.sectorByteCount)
    guard capacity != state.capacity else { return }
    state.resize(to: capacity)
    configurationChange.signal()
  }

  // MARK: Queues

  /// Starts to serve a queue.
  public func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    precondition(index >= 0 && index < files.count, "the device has no such queue")
    let size = Int(queue.configuration.size)
    if size < segmentMax + Self.frameSegmentCount,
      !queue.configuration.features.contains(.indirectDescriptors)
    {
      state.trouble.report(
        "\(name): queue \(index) has \(size) entries and its driver takes no indirect descriptors, so"
          + " its requests of up to \(segmentMax) segments may not fit; serve it with queuesize=\(size)"
      )
    }
    let name = "\(name)-\(index)"
    do throws(Errno) {
      let file = try files[index].file.duplicate()
      let depth = min(Int(queue.configuration.size), UringEngine<IOUring, ImageFile>.depthLimit)
      var ring = try makeQueueRing(depth: depth, descriptor: file.mainDescriptor, name)
      if let ring = ring.take() {
        let body = UringEngine(ring: ring, file: file, state: state, depth: depth)
        return try QueueWorker.start(
          name: name, queue: queue, body: body, wiring: wiring, statistics: statistics[index])
      }
      return try QueueWorker.start(
        name: name, queue: queue, body: ThreadEngine(file: file, state: state), wiring: wiring,
        statistics: statistics[index])
    } catch {
      throw DeviceError("start \(name)", error)
    }
  }

  /// Makes the ring of a queue. - Returns: nil where the queue is served without one.
  private func makeQueueRing(
    depth: Int, descriptor: Int32, _ name: String
  ) throws(Errno) -> IOUring? {
    guard engineName == Self.uringName else { return nil }
    do throws(Errno) {
      // Whoever starts a queue may be confined, a virtual processor say, and have no io_uring of its own.
      return try ThreadStarter.perform { [makeRing] () throws(Errno) in
        // At the least as many entries as there are syncs, watches and their ends.
        try makeRing(UInt32(max(8, depth)), descriptor)
      }
    } catch {
      // What one ring could have, many cannot: locked memory, open files.
      guard options.engine == .auto else { throw error }
      state.noteMissingRing(name, error)
      return nil
    }
  }
}

/// Holds a queue's open files while no worker does.
private final class QueueFile: Sendable {
  let file: ImageFile

  init(_ file: consuming ImageFile) { self.file = file }
}
