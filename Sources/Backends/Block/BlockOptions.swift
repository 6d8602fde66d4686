// SPDX-License-Identifier: Apache-2.0
//
// BlockOptions: what a user chooses of a disk.

/// How a disk is made: which image, and how it is served.
public struct BlockOptions: Sendable {
  /// Where written data waits until the driver asks for durability: QEMU's words.
  public enum Cache: String, Sendable, CaseIterable {
    /// In the host's page cache.
    case writeback
    /// Nowhere: each write goes through the page cache and is synced before it is given back, whatever the driver
    /// chooses.
    case writethrough
    /// In the storage device alone: the page cache is gone round (O_DIRECT).
    case none
    /// Nowhere: round the page cache, and each write is synced.
    case directsync
    /// In the page cache for as long as the kernel likes: nothing is synced, not even a flush. What the guest
    /// believes durable is lost with the host.
    case neverSynced = "unsafe"

    /// Whether transfers go round the page cache.
    var isDirect: Bool { self == .none || self == .directsync }
    /// Whether each write is synced.
    var isWriteThrough: Bool { self == .writethrough || self == .directsync }
  }

  /// Who talks to the kernel.
  public enum Engine: String, Sendable, CaseIterable {
    /// io_uring where the kernel lets us, else threads.
    case auto
    /// io_uring: many requests in flight on each queue.
    case uring
    /// The queue's own thread makes the calls: one request at a time on each queue.
    case threads
  }

  /// How the image's bytes are the disk's.
  public enum Format: String, Sendable, CaseIterable {
    /// Byte for byte.
    case raw
  }

  /// The image: a raw file or a block device.
  public var path: String
  /// The image's format. Where it is nil, an image that begins or ends as one of another format does is refused.
  /// Served is every image as it is: what it has is never interpreted. A guest can write the marks of another
  /// format into its disk, so whoever knows that the image is raw says so.
  public var format: Format?
  /// Whether the driver may only read.
  public var isReadOnly = false
  /// What the driver can ask for as the disk's name: at most 20 bytes of UTF-8.
  public var serial = ""
  /// The logical block in bytes that the driver is told: 512 or 4096.
  public var blockSize = 512
  /// Where written data waits.
  public var cache = Cache.writeback
  /// Who talks to the kernel.
  public var engine = Engine.auto
  /// How many queues, 1 to `maximumQueueCount`.
  public var queueCount = 1
  /// The most entries of a queue, one of `queueSizes`; nil for what is usual. A request has at most two segments
  /// fewer, so that it fits without indirect descriptors: a front-end with smaller queues wants this.
  public var queueSize: Int?
  /// Whether the transport is a legacy one. Then the disk has a BARRIER feature, and one queue.
  public var isLegacy = false
  /// Told a line when the host fails a request, at most one a second, on a queue's thread.
  public var onTrouble: (@Sendable (String) -> Void)?

  /// The most queues that a disk can have.
  public static let maximumQueueCount = 256
  /// The sizes that a queue can be given.
  public static let queueSizes = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
  /// The most bytes that a serial can have (VIRTIO_BLK_ID_BYTES).
  public static let serialByteCount = 20

  /// A writable disk of 512-byte blocks with one queue, by default.
  public init(path: String) {
    self.path = path
  }

  /// Checks what can be checked without looking at the image.
  func validate() throws(DeviceError) {
    let action = "serve image \(path)"
    guard !path.isEmpty else { throw DeviceError("serve an image", "no path was given") }
    guard serial.utf8.count <= Self.serialByteCount else {
      throw DeviceError(
        action, "serial '\(serial)' is longer than \(Self.serialByteCount) bytes")
    }
    guard blockSize == 512 || blockSize == 4096 else {
      throw DeviceError(action, "block size \(blockSize) is neither 512 nor 4096")
    }
    guard queueCount >= 1, queueCount <= Self.maximumQueueCount else {
      throw DeviceError(
        action, "\(queueCount) queues: give 1 to \(Self.maximumQueueCount)")
    }
    if let queueSize, !Self.queueSizes.contains(queueSize) {
      throw DeviceError(action, "queue size \(queueSize) is not a power of two from 4 to 1024")
    }
    guard !isLegacy || queueCount == 1 else {
      throw DeviceError(action, "a legacy transport knows one queue only")
    }
  }
}
