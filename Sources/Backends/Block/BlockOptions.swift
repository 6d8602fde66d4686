// SPDX-License-Identifier: Apache-2.0
//
// BlockOptions: what a user chooses of a disk.

/// How a disk is made: which image, and how it is served.
public struct BlockOptions: Sendable {
  /// Where written data waits until the driver asks for durability.
  public enum Cache: String, Sendable, CaseIterable {
    /// In the host's page cache.
    case writeback
    /// In the storage device alone: the page cache is gone round (O_DIRECT).
    case none
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

  /// The image: a raw file or a block device. Its format is never probed.
  public var path: String
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
  /// Whether the transport is a legacy one. Then the disk has a BARRIER feature, and one queue.
  public var isLegacy = false
  /// Told a line when the host fails a request, at most one a second, on a queue's thread.
  public var onTrouble: (@Sendable (String) -> Void)?

  /// The most queues that a disk can have.
  public static let maximumQueueCount = 256
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
    guard !isLegacy || queueCount == 1 else {
      throw DeviceError(action, "a legacy transport knows one queue only")
    }
  }
}
