// SPDX-License-Identifier: Apache-2.0
//
// FileServer: a file whose storage the test plays, through /dev/fuse (fuse(4), linux/fuse.h). What the kernel asks of
// it is what was really written and synced, by whatever calls.
//
// It remembers two contents: what was written, and what of that was there when the last sync came. Requests are
// answered one by one, so what a sync covers is what was answered before it.

import CHostTesting
public import Linux
import Synchronization

/// A file that remembers what of it was synced.
public final class FileServer: Sendable {
  /// What the file has.
  public struct Content: Sendable {
    /// As it was written.
    public var written: [UInt8]
    /// As it would be after the power has failed.
    public var durable: [UInt8]
    /// How many syncs have come.
    public var syncCount = 0
    /// How many of the writes came past the page cache (O_DIRECT).
    public var directWriteCount = 0
    /// How many writes have come.
    public var writeCount = 0
  }

  private let state: Mutex<Content>
  private let path: String
  private let thread: Mutex<WorkerThread<Void>?>

  /// Becomes what is at `path`, an existing file, for the calling thread and those that it starts. The thread cannot
  /// go back: it is one of the test's own.
  ///
  /// - Throws: what the system says, such as `.permission` to who is not root.
  public init(at path: String, byteCount: Int) throws(Errno) {
    let zeros = [UInt8](repeating: 0, count: byteCount)
    let state = Mutex(Content(written: zeros, durable: zeros))
    self.state = state
    self.path = path
    thread = Mutex(nil)
    let device = try FileDescriptor.open("/dev/fuse", .readWrite)
    let code = unsafe path.withCString { unsafe chosttesting_mount_fuse_file(device.raw, $0) }
    guard code == 0 else { throw Errno(rawValue: code) }
    var started = Optional(
      try WorkerThread.start(name: "file-server", state: try device.duplicate()) { [self] device in
        serve(device)
      })
    thread.withLock { $0 = started.take() }
  }

  /// What the file has now.
  public var content: Content { state.withLock { $0 } }

  /// Takes the file away. Nobody may have it open any more.
  public func end() {
    _ = unsafe path.withCString { unsafe chosttesting_unmount($0) }
    if let thread = thread.withLock({ $0.take() }) { thread.join() }
  }

  // MARK: Requests

  private static let longest = 1 << 20

  private func serve(_ device: borrowing FileDescriptor) {
    while true {
      // It ends when the file is taken away (ENODEV).
      guard let request = try? device.read(upTo: Self.longest + 4096), request.count >= 40 else {
        return
      }
      guard let reply = answer(request) else { continue }
      var bytes =
        Self.little(UInt32(16 + reply.bytes.count)) + Self.little(UInt32(bitPattern: -reply.error))
      bytes += request[8..<16] + reply.bytes
      _ = try? device.write(bytes)
    }
  }

  private struct Reply {
    var bytes: [UInt8] = []
    var error: Int32 = 0
  }

  /// - Returns: nil for what is not answered.
  private func answer(_ request: [UInt8]) -> Reply? {
    switch Self.word(request, 4) {
    case 2, 36, 42: return nil  // FORGET, INTERRUPT, BATCH_FORGET
    case 26: return Reply(bytes: Self.initialReply)
    case 3, 4: return Reply(bytes: attributes)  // GETATTR, SETATTR
    case 14: return Reply(bytes: [UInt8](repeating: 0, count: 16))  // OPEN
    case 15:  // READ
      let (offset, count) = (Self.long(request, 48), Int(Self.word(request, 56)))
      return Reply(
        bytes: state.withLock { Array($0.written.dropFirst(Int(offset)).prefix(count)) })
    case 16: return write(request)
    case 18, 25: return Reply()  // RELEASE, FLUSH
    case 20:  // FSYNC
      state.withLock {
        $0.syncCount += 1
        $0.durable = $0.written
      }
      return Reply()
    case 17: return Reply(bytes: [UInt8](repeating: 0, count: 80))  // STATFS
    default: return Reply(error: 38)  // ENOSYS
    }
  }

  private func write(_ request: [UInt8]) -> Reply {
    let (offset, count) = (Int(Self.long(request, 48)), Int(Self.word(request, 56)))
    // The flags with which the file is open.
    let isDirect = Self.word(request, 72) & 0o40000 != 0
    return state.withLock { content in
      guard offset + count <= content.written.count, request.count >= 80 + count else {
        return Reply(error: 28)  // ENOSPC
      }
      content.written.replaceSubrange(offset..<offset + count, with: request[80..<80 + count])
      content.writeCount += 1
      if isDirect { content.directWriteCount += 1 }
      return Reply(bytes: Self.little(UInt32(count)) + [0, 0, 0, 0])
    }
  }

  /// Protocol 7.31; writes of up to `longest` bytes.
  private static var initialReply: [UInt8] {
    let bigWrites: UInt32 = 1 << 5
    let maximalPages: UInt32 = 1 << 22
    var bytes = [7, 31, 0x20000, bigWrites | maximalPages, 16 | 12 << 16, UInt32(longest), 1, 256]
      .flatMap { little($0 as UInt32) }
    bytes += [UInt8](repeating: 0, count: 64 - bytes.count)
    return bytes
  }

  private var attributes: [UInt8] {
    let size = UInt64(state.withLock { $0.written.count })
    var bytes = Self.little(3600 as UInt64) + [UInt8](repeating: 0, count: 8)
    bytes += Self.little(1 as UInt64) + Self.little(size) + Self.little(size / 512)
    bytes += [UInt8](repeating: 0, count: 36)
    bytes += [0o100600, 1, 0, 0, 0, 4096, 0].flatMap { Self.little($0 as UInt32) }
    return bytes
  }

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }

  private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * $1) }
  }

  private static func long(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
    UInt64(word(bytes, offset)) | UInt64(word(bytes, offset + 4)) << 32
  }
}
