// SPDX-License-Identifier: Apache-2.0
//
// ConnectionMemory: what this side and the kernel have agreed on, and how each file is opened by that.
//
// A file is served in one of three manners:
//
//     cached       the kernel keeps what was read. For images that nobody writes.
//     direct       each transfer comes here; several at the same time. For disks of running guests, and for
//                  exports that are written: a partition and the disk show the same bytes, and the kernel, which
//                  does not know that, would keep two copies.
//     passthrough  the kernel goes to the image by itself: a whole disk whose image is a plain file. Its page
//                  cache is the image's own, so it goes with direct files. Not where writing past the end
//                  must be refused, as nobody would be asked; not for running guests.
//
// Passthrough is in Linux since 6.9, and in libfuse since 3.17. Older versions of libfuse drop what they do not
// know from their answer to the kernel's first message, FUSE_INIT. With those, that one answer is completed on
// its way out, in the function that libfuse calls in place of writev (fuse_session_custom_io, 3.14).
// The reply to an open is written as the bytes that the kernel knows, for the same reason.

import Backends
import CLibfuse
import CLinux
import Glibc
import Linux
import Synchronization

/// A connection to the kernel.
final class FuseConnection: Sendable {
  let tree: ExportTree
  private let options: ExportOptions
  private let descriptor = Atomic<Int32>(-1)
  /// Whether FUSE_INIT has been answered.
  private let isAgreed = Atomic<Bool>(false)
  private let kernelFlags = Atomic<UInt64>(0)
  private let hasPassthrough = Atomic<Bool>(false)
  private let backings = Mutex<[Int: Int32]>([:])

  init(_ tree: ExportTree, _ options: ExportOptions) {
    self.tree = tree
    self.options = options
  }

  /// The connection of a session, from its user data.
  static func of(_ userdata: UnsafeMutableRawPointer) -> FuseConnection {
    // SAFETY: a session's user data is its connection, which its owner keeps.
    unsafe Unmanaged<FuseConnection>.fromOpaque(userdata).takeUnretainedValue()
  }

  /// The connection's descriptor is known.
  func opened(_ raw: Int32) { descriptor.store(raw, ordering: .relaxed) }

  // MARK: How files are opened

  /// What the kernel is told with an open.
  struct Manner {
    var flags: UInt32
    var backing: Int32 = 0

    static let direct = Manner(flags: 1 << 0 | 1 << 6)  // FOPEN_DIRECT_IO, _PARALLEL_DIRECT_WRITES
    static let cached = Manner(flags: 1 << 1)  // FOPEN_KEEP_CACHE
    static func passthrough(_ backing: Int32) -> Manner { Manner(flags: 1 << 7, backing: backing) }
  }

  /// How a file is to be opened.
  func manner(of file: OpenFile) -> Manner {
    guard let image = file.image else { return .direct }
    if let backing = backing(of: file, image) { return .passthrough(backing) }
    return image.view.isWritable || image.view.isLive ? .direct : .cached
  }

  /// The number of the file that the kernel goes to; nil where it asks here.
  private func backing(of file: OpenFile, _ image: ExportImage) -> Int32? {
    guard hasPassthrough.load(ordering: .relaxed), file.isWholeDisk, let index = file.node.image,
      Self.suitsPassthrough(image)
    else { return nil }
    return backing(ofDisk: index, image)
  }

  private static func suitsPassthrough(_ image: ExportImage) -> Bool {
    !image.view.isBlockDevice && !image.view.isLive
      && (!image.view.isWritable || image.isGrowable)
  }

  private func backing(ofDisk index: Int, _ image: ExportImage) -> Int32? {
    // All opens of a file must be alike, so the first one decides for good.
    let number = backings.withLock { backings in
      if let known = backings[index] { return known }
      let number = clinux_fuse_backing_open(
        descriptor.load(ordering: .relaxed), image.view.file.raw)
      backings[index] = number
      return number
    }
    return number > 0 ? number : nil
  }

  /// How long the kernel may go without asking again, in seconds.
  func timeout(of node: ExportNode) -> Double {
    guard let image = node.image else { return 1 }
    return tree.images[image].view.isLive ? 0 : 1
  }

  /// What was agreed on, in a few words.
  var summary: String {
    var words = ["libfuse \(Self.libraryVersion)"]
    words.append(passthroughSummary)
    words.append(Self.usesRing ? "io_uring" : "no io_uring (\(Self.ringTrouble))")
    return words.joined(separator: ", ")
  }

  private var passthroughSummary: String {
    guard options.usesPassthrough else { return "no passthrough (turned off)" }
    guard hasPassthrough.load(ordering: .relaxed) else { return "no passthrough" }
    let suited = tree.images.enumerated().filter { Self.suitsPassthrough($0.element) }
    guard !suited.isEmpty else { return "no passthrough (not for these images)" }
    // Asked here, it is there for the first open.
    let isThere = suited.contains { backing(ofDisk: $0.offset, $0.element) != nil }
    guard !isThere else { return "passthrough" }
    return Process.effectiveUser == 0
      ? "no passthrough (the kernel refuses these images)" : "no passthrough (it is root's)"
  }

  /// Whether requests come over io_uring: where libfuse can do that (3.18) and the kernel is told to.
  static var usesRing: Bool { hasLibraryRing && hasKernelRing }

  private static var hasLibraryRing: Bool { clibfuse_has_io_uring() != 0 }

  private static var hasKernelRing: Bool {
    let path = "/sys/module/fuse/parameters/enable_uring"
    return (try? FileSystem.contents(of: path, limit: 8))?.first == UInt8(ascii: "Y")
  }

  private static var ringTrouble: String {
    hasLibraryRing
      ? "'echo Y > /sys/module/fuse/parameters/enable_uring' turns it on" : "libfuse is too old"
  }

  private static var libraryVersion: String {
    // SAFETY: a constant of the library.
    unsafe fuse_pkgversion().map { unsafe String(cString: $0) } ?? "?"
  }

  // MARK: FUSE_INIT

  private static let initExtended: UInt64 = 1 << 30
  private static let directMapping: UInt64 = 1 << 36
  private static let passthrough: UInt64 = 1 << 37
  /// The image's file system may itself be an overlay.
  private static let stackDepth: UInt32 = 2

  /// Says what we want of the connection. libfuse calls it when the kernel's first message is there.
  func negotiate(_ connection: UnsafeMutablePointer<fuse_conn_info>) {
    // What a direct write brings is in its caller's pages, which the kernel copies for a pipe as it does for a
    // buffer; the pipe would only add system calls. Larger reads have a pipe of ours (SpliceMemory).
    let splicing = UInt32(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE)
    // SAFETY: libfuse's structure, during its call.
    unsafe connection.pointee.want &= ~splicing
    // What the threads' buffers hold. Reads are held to it, too.
    unsafe connection.pointee.max_write = UInt32(ThreadBuffer.byteCount)
    // How many direct and read-ahead requests may be under way; the kernel's own choice is 12.
    unsafe connection.pointee.max_background = 64
    unsafe connection.pointee.congestion_threshold = 48
    if options.usesPassthrough, unsafe clibfuse_want_passthrough(connection) != 0 {
      hasPassthrough.store(true, ordering: .relaxed)
    }
    _ = unsafe clibfuse_want_direct_mapping(connection)
  }

  /// The functions that libfuse calls in place of read and writev.
  static func makeTransport() -> fuse_custom_io {
    // SAFETY: a structure of pointers to functions, none of them set yet.
    var transport = fuse_custom_io()
    unsafe transport.read = { descriptor, buffer, size, _ in
      // SAFETY: libfuse's own buffer of that size.
      unsafe Glibc.read(descriptor, buffer, size)
    }
    unsafe transport.writev = { descriptor, vectors, count, userdata in
      if let userdata = unsafe userdata, let vectors = unsafe vectors {
        // SAFETY: libfuse's own vectors, as many as it says.
        let reply = unsafe UnsafeMutableBufferPointer(start: vectors, count: Int(count))
        unsafe FuseConnection.of(userdata).complete(reply)
      }
      return unsafe Glibc.writev(descriptor, vectors, count)
    }
    return transport
  }

  /// Remembers what the kernel offers (struct fuse_init_in, behind a header of 40 bytes).
  @inline(__always)
  func look(at buffer: borrowing RequestBuffer, _ count: Int) {
    guard !isAgreed.load(ordering: .relaxed), count >= 40 + 20 else { return }
    // SAFETY: the bytes are there, as the line above says; the kernel's words are of this machine's order.
    let request = unsafe UnsafeRawPointer(buffer.base)
    let low = unsafe request.loadUnaligned(fromByteOffset: 40 + 12, as: UInt32.self)
    let high = unsafe request.loadUnaligned(fromByteOffset: 40 + 16, as: UInt32.self)
    let extended = UInt64(low) & Self.initExtended != 0
    kernelFlags.store(UInt64(low) | (extended ? UInt64(high) << 32 : 0), ordering: .relaxed)
  }

  /// Adds to the answer to FUSE_INIT what libfuse does not know: passthrough, and shared mappings of direct
  /// files (struct fuse_init_out, in the second vector).
  @inline(__always)
  private func complete(_ reply: UnsafeMutableBufferPointer<iovec>) {
    guard !isAgreed.load(ordering: .relaxed) else { return }
    // SAFETY: the vectors are the caller's; what they say is there is not touched before it is checked.
    isAgreed.store(true, ordering: .relaxed)
    guard reply.count >= 2, let answer = unsafe reply[1].iov_base,
      unsafe reply[1].iov_len >= 40
    else { return }
    let offered = kernelFlags.load(ordering: .relaxed)
    var wanted = offered & Self.directMapping
    if options.usesPassthrough { wanted |= offered & Self.passthrough }
    guard wanted != 0 else { return }
    // SAFETY: libfuse's own structure of at least 40 bytes, which it is about to write.
    let bytes = unsafe UnsafeMutableRawBufferPointer(start: answer, count: 40)
    let low = unsafe bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
    let high = unsafe bytes.loadUnaligned(fromByteOffset: 32, as: UInt32.self)
    unsafe bytes.storeBytes(
      of: low | UInt32(Self.initExtended), toByteOffset: 12, as: UInt32.self)
    unsafe bytes.storeBytes(
      of: high | UInt32(wanted >> 32), toByteOffset: 32, as: UInt32.self)
    if wanted & Self.passthrough != 0 {
      unsafe bytes.storeBytes(of: Self.stackDepth, toByteOffset: 36, as: UInt32.self)
      hasPassthrough.store(true, ordering: .relaxed)
    }
  }
}
