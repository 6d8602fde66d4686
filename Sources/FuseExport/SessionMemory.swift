// SPDX-License-Identifier: Apache-2.0
//
// SessionMemory: a mounted file system, from libfuse's session to the threads that serve it.
//
// Several threads take requests from one connection. Each has a buffer for a request (RequestBuffer) and one for
// what it reads (ThreadBuffer), so a request allocates nothing here. They read the requests by themselves:
// libfuse's function for that allocates the buffer where it likes and, by its version, of what size it likes.
// They end when the file system is unmounted, by whomever, or when `stop` gets them out of their reads.

import CLibfuse
import Glibc
import Linux
import Synchronization

/// A mounted file system.
///
/// Unchecked: `session` is libfuse's, which takes calls from all threads; it is made before they start and
/// destroyed after they have ended. The rest is immutable, atomic or behind a lock.
@safe
final class FuseSession: @unchecked Sendable {
  let connection: FuseConnection
  private let options: ExportOptions
  private let source: String
  private let session: OpaquePointer
  private let threads = Mutex<[ServingThread]>([])
  private let running = Atomic<Int>(0)
  private let end: EventFD

  /// Prepares a session; nothing is mounted yet.
  ///
  /// - Parameter source: what `mount` and `df` show as the device.
  init(_ tree: ExportTree, _ options: ExportOptions, source: String) throws(ExportError) {
    self.options = options
    self.source = source
    connection = FuseConnection(tree, options)
    do throws(Errno) { end = try EventFD() } catch {
      throw ExportError("cannot export \(source): the system gives no eventfd: \(error)")
    }
    FuseLog.take()
    let words = ["lgdev", "-o", MountWords.text(tree, options, source: source)]
    // SAFETY: a session of our own, destroyed in `deinit`.
    guard let made = unsafe Self.make(words, connection) else {
      throw ExportError("cannot export \(source): \(FuseLog.last ?? "libfuse refuses")")
    }
    unsafe session = unsafe made
  }

  private static func make(_ words: [String], _ connection: FuseConnection) -> OpaquePointer? {
    // SAFETY: the words are copied by libfuse during the call, which may make a list of its own that
    // fuse_opt_free_args frees; the operations are copied, too. The connection lives as long as the session, as
    // this class keeps both.
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    defer { unsafe pointers.forEach { unsafe free($0) } }
    return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
      var calls = Callbacks.make()
      var arguments = unsafe fuse_args(
        argc: Int32(buffer.count), argv: buffer.baseAddress, allocated: 0)
      defer { unsafe fuse_opt_free_args(&arguments) }
      return unsafe clibfuse_session_new(
        &arguments, &calls, Unmanaged.passUnretained(connection).toOpaque())
    }
  }

  deinit {
    // SAFETY: no thread is left, as each holds this object.
    unsafe fuse_session_destroy(session)
  }

  // MARK: Life

  /// Readable when nothing is served any more.
  var endDescriptor: Int32 { end.descriptor.raw }

  /// Where it is mounted.
  var mountPoint: String { options.mountPoint }

  /// Mounts and begins to serve.
  func start() throws(ExportError) {
    // SAFETY (all below): the session is libfuse's and valid until this object goes; the path is copied.
    guard unsafe fuse_session_mount(session, options.mountPoint) == 0 else {
      throw ExportError(
        "cannot mount \(options.mountPoint): \(FuseLog.last ?? "fusermount3 refuses, see above")")
    }
    let descriptor = unsafe fuse_session_fd(session)
    connection.opened(descriptor)
    if clibfuse_has_passthrough() == 0 {
      var transport = FuseConnection.makeTransport()
      // SAFETY: the functions are copied; the descriptor is the session's own.
      let result = unsafe fuse_session_custom_io(session, &transport, descriptor)
      guard result == 0 else {
        unsafe fuse_session_unmount(session)
        throw ExportError("cannot mount \(options.mountPoint): \(Errno(rawValue: -result))")
      }
    }
    do throws(Errno) {
      for index in 0..<threadCount {
        let thread = try ServingThread(name: "fuse-\(index)", self, RequestBuffer())
        running.wrappingAdd(1, ordering: .relaxed)
        threads.withLock { $0.append(thread) }
      }
    } catch {
      guard threads.withLock({ $0.isEmpty }) else { return }
      // SAFETY: as above.
      unsafe fuse_session_unmount(session)
      throw ExportError("cannot mount \(options.mountPoint): the system gives no thread: \(error)")
    }
  }

  private var threadCount: Int {
    options.threadCount ?? max(2, min(8, CurrentThread.processors.count))
  }

  /// Takes requests until there are no more. On a thread of its own.
  fileprivate func serve(_ buffer: consuming RequestBuffer) {
    let descriptor = unsafe fuse_session_fd(session)
    // SAFETY: the session lives as long as this object, which the thread holds; the memory as long as this
    // function, and libfuse keeps nothing of it.
    var request = unsafe fuse_buf()
    unsafe request.mem = buffer.base
    let pipe = SplicePipe(to: descriptor)
    pipe?.makeCurrent()
    defer { SplicePipe.forget() }
    while unsafe fuse_session_exited(session) == 0 {
      do throws(Errno) {
        unsafe request.size = try buffer.receive(from: descriptor)
      } catch .interrupted {
        continue
      } catch .again {
        continue
      } catch .notFound {
        continue
      } catch {
        break
      }
      connection.look(at: buffer, unsafe request.size)
      pipe?.unique = buffer.unique
      unsafe fuse_session_process_buf(session, &request)
    }
    // SAFETY: as above. Whatever ended this thread ends the others.
    unsafe fuse_session_exit(session)
    if running.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { end.signal() }
  }

  /// Stops to serve, and unmounts what is mounted. It waits for requests under way.
  func stop() {
    // SAFETY (all below): the session is libfuse's and valid until this object goes.
    unsafe fuse_session_exit(session)
    let threads = threads.withLock { threads in
      defer { threads = [] }
      return threads
    }
    // A nudge that comes just before a thread waits is lost, so they are nudged until they are gone.
    let nudging = Nudging()
    while running.load(ordering: .acquiring) > 0 {
      for thread in threads { thread.nudge(nudging) }
      var entry: InlineArray<1, PollEntry> = [PollEntry(fd: end.descriptor.raw)]
      _ = try? Poll.wait(&entry, timeout: .milliseconds(10))
    }
    for thread in threads { thread.join() }
    // SAFETY: as above; no thread uses its descriptor any more.
    unsafe fuse_session_unmount(session)
  }
}

/// A thread that serves requests.
private final class ServingThread: Sendable {
  private let thread: Mutex<WorkerThread<Void>?>

  /// What the thread has.
  private struct Work: ~Copyable, Sendable {
    let session: FuseSession
    let buffer: RequestBuffer

    consuming func run() { session.serve(buffer) }
  }

  init(name: String, _ session: FuseSession, _ buffer: consuming RequestBuffer) throws(Errno) {
    let work = Work(session: session, buffer: buffer)
    thread = Mutex(try WorkerThread.start(name: name, state: work) { $0.run() })
  }

  func nudge(_ nudging: borrowing Nudging) { thread.withLock { $0?.nudge(nudging) } }

  func join() {
    guard let thread = thread.withLock({ $0.take() }) else { return }
    thread.join()
  }
}

/// What libfuse says of its troubles, which would go to the error stream.
enum FuseLog {
  private static let line = Mutex<String?>(nil)

  /// Hears of them from now on.
  static func take() {
    // SAFETY: the format and its arguments are libfuse's; at most the buffer is written.
    unsafe fuse_set_log_func { _, format, arguments in
      guard let format = unsafe format, let arguments = unsafe arguments else { return }
      var text = [CChar](repeating: 0, count: 512)
      unsafe text.withUnsafeMutableBufferPointer { buffer in
        _ = unsafe vsnprintf(buffer.baseAddress, buffer.count, format, arguments)
      }
      let bytes = text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
      let line = String(decoding: bytes, as: UTF8.self)
      FuseLog.line.withLock { $0 = line }
    }
  }

  /// The last thing that it said, without its name and line end.
  static var last: String? {
    line.withLock { line in
      guard var text = line?.split(whereSeparator: \.isNewline).first else { return nil }
      if text.hasPrefix("fuse: ") { text = text.dropFirst(6) }
      return String(text)
    }
  }
}
