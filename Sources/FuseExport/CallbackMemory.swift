// SPDX-License-Identifier: Apache-2.0
//
// CallbackMemory: libfuse's requests turned into calls of the tree and of open files, and their results into
// replies.
//
// Every function here is called by libfuse on one of the session's threads, with a request that must be
// replied to exactly once, and whose user data is the session. What Swift must keep for an open file is an
// OpenFile, retained when the kernel is told of it and released when the kernel says that it is done; in
// between the kernel hands its address back with each request.

import Backends
import CLibfuse
import Glibc
import Linux

/// Replies to requests.
// SAFETY (all): a request is valid until it is replied to, which each function does once, as its last deed;
// pointers that came with it are valid until then. Its user data is the session, which outlives its threads.
// File handles are addresses of retained objects, see above; the kernel sends none after their release.
enum Callbacks {
  /// The functions that libfuse calls.
  static func make() -> fuse_lowlevel_ops {
    var calls = fuse_lowlevel_ops()
    unsafe calls.`init` = { userdata, connection in
      guard let userdata = unsafe userdata, let connection = unsafe connection else { return }
      unsafe FuseConnection.of(userdata).negotiate(connection)
    }
    unsafe calls.lookup = { request, parent, name in
      guard let request = unsafe request, let name = unsafe name else { return }
      // No name here is anything but UTF-8.
      guard let name = unsafe String(validatingCString: name) else {
        unsafe fuse_reply_err(request, ENOENT)
        return
      }
      unsafe Callbacks.lookup(request, parent, name)
    }
    unsafe calls.getattr = { request, number, information in
      guard let request = unsafe request else { return }
      unsafe Callbacks.getAttributes(request, number, information)
    }
    unsafe calls.setattr = { request, number, wanted, which, information in
      guard let request = unsafe request, let wanted = unsafe wanted else { return }
      unsafe Callbacks.setAttributes(request, number, wanted, which, information)
    }
    unsafe calls.readlink = { request, number in
      guard let request = unsafe request else { return }
      unsafe Callbacks.readLink(request, number)
    }
    unsafe calls.open = { request, number, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.open(request, number, information)
    }
    unsafe calls.read = { request, _, count, offset, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.read(request, count, position(offset), information)
    }
    unsafe calls.write = { request, _, bytes, count, offset, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      let memory = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
      unsafe Callbacks.write(request, memory, position(offset), information)
    }
    unsafe calls.release = { request, _, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.release(request, information)
    }
    unsafe calls.fsync = { request, _, _, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.answer(request) { () throws(Errno) in
        try unsafe OpenFile.of(information).sync()
      }
    }
    unsafe calls.opendir = { request, number, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.openDirectory(request, number, information)
    }
    unsafe calls.readdir = { request, number, count, offset, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.readDirectory(request, number, count, Int(offset), information)
    }
    unsafe calls.releasedir = calls.release
    unsafe calls.statfs = { request, number in
      guard let request = unsafe request else { return }
      unsafe Callbacks.fileSystemStatus(request)
    }
    unsafe calls.fallocate = { request, _, mode, offset, count, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      let keepSize: Int32 = 1
      unsafe Callbacks.answer(request) { () throws(Errno) in
        try unsafe OpenFile.of(information).allocate(
          try FileDescriptor.Allocation(mode: mode), at: position(offset), count: position(count),
          keepingSize: mode & keepSize != 0)
      }
    }
    unsafe calls.lseek = { request, _, offset, whence, information in
      guard let request = unsafe request, let information = unsafe information else { return }
      unsafe Callbacks.seek(request, position(offset), whence, information)
    }
    unsafe calls.copy_file_range = { request, _, offset, from, _, target, to, count, _ in
      guard let request = unsafe request, let from = unsafe from, let to = unsafe to else { return }
      unsafe Callbacks.copy(request, from, position(offset), to, position(target), UInt64(count))
    }
    // The names are what they are.
    unsafe calls.mknod = { request, _, _, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.create = { request, _, _, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.mkdir = { request, _, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.unlink = { request, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.rmdir = { request, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.symlink = { request, _, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.link = { request, _, _, _ in unsafe fuse_reply_err(request, EPERM) }
    unsafe calls.rename = { request, _, _, _, _, _ in unsafe fuse_reply_err(request, EPERM) }
    return calls
  }

  private static func session(_ request: fuse_req_t) -> FuseConnection {
    guard let userdata = unsafe fuse_req_userdata(request) else {
      preconditionFailure("a session has user data")
    }
    return unsafe FuseConnection.of(userdata)
  }

  /// Runs something whose reply is that it went well, or why not.
  private static func answer(_ request: fuse_req_t, _ body: () throws(Errno) -> Void) {
    do throws(Errno) {
      try body()
      unsafe fuse_reply_err(request, 0)
    } catch {
      unsafe fuse_reply_err(request, error.rawValue)
    }
  }

  /// Runs something that replies by itself where it goes well.
  private static func reply(_ request: fuse_req_t, _ body: () throws(Errno) -> Void) {
    do throws(Errno) {
      try body()
    } catch {
      unsafe fuse_reply_err(request, error.rawValue)
    }
  }

  // MARK: Names and attributes

  private static func lookup(_ request: fuse_req_t, _ parent: fuse_ino_t, _ name: String) {
    let session = unsafe session(request)
    unsafe reply(request) { () throws(Errno) in
      let node = try session.tree.find(name, in: try session.tree.node(UInt64(parent)))
      let attributes = try session.tree.attributes(of: node)
      var entry = fuse_entry_param()
      entry.ino = fuse_ino_t(attributes.number)
      entry.attr = stat(attributes)
      entry.attr_timeout = session.timeout(of: node)
      entry.entry_timeout = session.timeout(of: node)
      unsafe fuse_reply_entry(request, &entry)
    }
  }

  private static func getAttributes(
    _ request: fuse_req_t, _ number: fuse_ino_t,
    _ information: UnsafeMutablePointer<fuse_file_info>?
  ) {
    let session = unsafe session(request)
    unsafe reply(request) { () throws(Errno) in
      let node = try session.tree.node(UInt64(number))
      var attributes: ExportTree.Attributes
      if let information = unsafe information, unsafe information.pointee.fh != 0 {
        // What is open stays what it was.
        let file = unsafe OpenFile.of(information)
        if let image = file.image { image.refreshSize() }
        if file.image != nil {
          attributes = try session.tree.attributes(of: node, showing: file.span)
        } else {
          attributes = try session.tree.attributes(of: node)
          if case .information = node { attributes.size = UInt64(file.text.count) }
        }
      } else {
        attributes = try session.tree.attributes(of: node)
      }
      var status = stat(attributes)
      unsafe fuse_reply_attr(request, &status, session.timeout(of: node))
    }
  }

  private static func setAttributes(
    _ request: fuse_req_t, _ number: fuse_ino_t, _ wanted: UnsafeMutablePointer<stat>,
    _ which: Int32, _ information: UnsafeMutablePointer<fuse_file_info>?
  ) {
    let session = unsafe session(request)
    unsafe reply(request) { () throws(Errno) in
      let node = try session.tree.node(UInt64(number))
      // Owner, permissions and times are the export's and the image's.
      let sizeAndItsTraces: Int32 = 1 << 3 | 1 << 6 | 1 << 10 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8
      guard which & ~sizeAndItsTraces == 0, which & (1 << 3) != 0 else { throw .permission }
      let size = unsafe position(wanted.pointee.st_size)
      try session.tree.resize(node, to: size)
      var status = stat(try session.tree.attributes(of: node))
      unsafe fuse_reply_attr(request, &status, session.timeout(of: node))
    }
  }

  private static func readLink(_ request: fuse_req_t, _ number: fuse_ino_t) {
    let session = unsafe session(request)
    unsafe reply(request) { () throws(Errno) in
      let target = try session.tree.target(of: try session.tree.node(UInt64(number)))
      unsafe fuse_reply_readlink(request, target)
    }
  }

  private static func fileSystemStatus(_ request: fuse_req_t) {
    let tree = unsafe session(request).tree
    let (total, free) = tree.capacity
    var status = statvfs()
    status.f_bsize = 4096
    status.f_frsize = 512
    status.f_blocks = UInt((total + free) / 512)
    status.f_bfree = UInt(free / 512)
    status.f_bavail = status.f_bfree
    status.f_namemax = 255
    unsafe fuse_reply_statfs(request, &status)
  }

  // MARK: Files

  /// The reply to an open, which libfuse knows in part only.
  private struct OpenReply {
    var handle: UInt64
    var flags: UInt32
    var backing: Int32
  }

  private static func open(
    _ request: fuse_req_t, _ number: fuse_ino_t, _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    let session = unsafe session(request)
    unsafe reply(request) { () throws(Errno) in
      let node = try session.tree.node(UInt64(number))
      let flags = unsafe information.pointee.flags
      let wantsToWrite = flags & O_ACCMODE != O_RDONLY
      let file = try session.tree.open(node, forWriting: wantsToWrite)
      // The kernel leaves truncating to the open. What cannot grow keeps its size, as a block device does.
      if wantsToWrite, flags & O_TRUNC != 0, file.isWholeDisk, file.image?.isGrowable == true {
        try session.tree.resize(node, to: 0)
      }
      let manner = session.manner(of: file)
      let handle = unsafe Unmanaged.passRetained(file)
      var reply = OpenReply(
        handle: UInt64(UInt(bitPattern: unsafe handle.toOpaque())), flags: manner.flags,
        backing: manner.backing)
      let size = MemoryLayout<OpenReply>.size
      let result = unsafe withUnsafeBytes(of: &reply) {
        unsafe fuse_reply_buf(
          request, $0.baseAddress?.assumingMemoryBound(to: CChar.self), size)
      }
      // Whoever opened it has gone.
      if result != 0 { unsafe handle.release() }
    }
  }

  private static func release(
    _ request: fuse_req_t, _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    if let handle = unsafe UnsafeRawPointer(bitPattern: UInt(information.pointee.fh)) {
      unsafe Unmanaged<OpenFile>.fromOpaque(handle).release()
    }
    unsafe fuse_reply_err(request, 0)
  }

  @inline(__always)
  private static func read(
    _ request: fuse_req_t, _ count: Int, _ offset: UInt64,
    _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    let file = unsafe OpenFile.of(information)
    guard file.image != nil else {
      let text = file.text.dropFirst(Int(clamping: offset)).prefix(count)
      unsafe text.withUnsafeBytes {
        _ = unsafe fuse_reply_buf(
          request, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
      }
      return
    }
    if count >= SplicePipe.threshold, SplicePipe.current?.answer(file, offset, count) == true {
      // It is answered: libfuse only forgets it.
      unsafe fuse_reply_none(request)
      return
    }
    unsafe reply(request) { () throws(Errno) in
      guard let buffer = unsafe ThreadBuffer.current else { throw .noMemory }
      let wanted = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(count))
      let got: Int
      do throws(Errno) {
        got = try unsafe file.read(into: wanted, at: offset)
      } catch {
        file.note("read", error, count, offset)
        throw error
      }
      unsafe fuse_reply_buf(
        request, wanted.baseAddress?.assumingMemoryBound(to: CChar.self), got)
    }
  }

  @inline(__always)
  private static func write(
    _ request: fuse_req_t, _ memory: UnsafeRawBufferPointer, _ offset: UInt64,
    _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    let file = unsafe OpenFile.of(information)
    unsafe reply(request) { () throws(Errno) in
      let count: Int
      do throws(Errno) {
        count = try unsafe file.write(memory, at: offset)
      } catch {
        file.note("write", error, memory.count, offset)
        throw error
      }
      unsafe fuse_reply_write(request, count)
    }
  }

  private static func seek(
    _ request: fuse_req_t, _ offset: UInt64, _ whence: Int32,
    _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    unsafe reply(request) { () throws(Errno) in
      let data: Int32 = 3
      let hole: Int32 = 4
      guard whence == data || whence == hole else { throw .invalidArgument }
      let place = try unsafe OpenFile.of(information).seek(data: whence == data, from: offset)
      unsafe fuse_reply_lseek(request, off_t(place))
    }
  }

  private static func copy(
    _ request: fuse_req_t, _ from: UnsafeMutablePointer<fuse_file_info>, _ offset: UInt64,
    _ to: UnsafeMutablePointer<fuse_file_info>, _ target: UInt64, _ count: UInt64
  ) {
    unsafe reply(request) { () throws(Errno) in
      let copied = try unsafe OpenFile.of(from).copy(
        from: offset, to: OpenFile.of(to), at: target, count: count)
      unsafe fuse_reply_write(request, copied)
    }
  }

  // MARK: Directories

  private static func openDirectory(
    _ request: fuse_req_t, _ number: fuse_ino_t, _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    let session = unsafe session(request)
    unsafe reply(request) { () throws(Errno) in
      let node = try session.tree.node(UInt64(number))
      let entries = try session.tree.entries(of: node)
      let handle = unsafe Unmanaged.passRetained(OpenFile(node, entries: entries))
      unsafe information.pointee.fh = UInt64(UInt(bitPattern: handle.toOpaque()))
      if unsafe fuse_reply_open(request, information) != 0 { unsafe handle.release() }
    }
  }

  private static func readDirectory(
    _ request: fuse_req_t, _ number: fuse_ino_t, _ count: Int, _ offset: Int,
    _ information: UnsafeMutablePointer<fuse_file_info>
  ) {
    let session = unsafe session(request)
    let file = unsafe OpenFile.of(information)
    unsafe reply(request) { () throws(Errno) in
      guard let buffer = unsafe ThreadBuffer.current, let base = buffer.baseAddress else {
        throw .noMemory
      }
      let start = unsafe base.assumingMemoryBound(to: CChar.self)
      let limit = min(count, buffer.count)
      var used = 0
      let directory = (
        name: ".", number: UInt64(number), kind: ExportTree.Attributes.Kind.directory
      )
      let above = (name: "..", number: ExportNode.rootNumber, kind: directory.kind)
      let rest = file.entries.map {
        (name: $0.name, number: session.tree.number(of: $0.node), kind: $0.kind)
      }
      for (index, entry) in ([directory, above] + rest).enumerated().dropFirst(offset) {
        var status = stat()
        status.st_ino = UInt(entry.number)
        status.st_mode = entry.kind.mode
        let size = unsafe fuse_add_direntry(
          request, start + used, limit - used, entry.name, &status, off_t(index + 1))
        guard size <= limit - used else { break }
        used += size
      }
      unsafe fuse_reply_buf(request, start, used)
    }
  }
}

/// An offset as the tree takes it. The kernel passes on a negative one (lseek(2) with SEEK_DATA), which lies
/// behind the end of every file then.
private func position(_ offset: off_t) -> UInt64 { UInt64(bitPattern: Int64(offset)) }

extension OpenFile {
  /// The open file that a request is about.
  // SAFETY (all): as told above: the kernel hands back the address of a retained object.
  @inline(__always)
  fileprivate static func of(_ information: UnsafeMutablePointer<fuse_file_info>) -> OpenFile {
    guard let handle = unsafe UnsafeRawPointer(bitPattern: UInt(information.pointee.fh)) else {
      preconditionFailure("the kernel hands back what it was given")
    }
    return unsafe Unmanaged<OpenFile>.fromOpaque(handle).takeUnretainedValue()
  }
}

extension ExportTree.Attributes.Kind {
  fileprivate var mode: mode_t {
    switch self {
    case .file: S_IFREG
    case .directory: S_IFDIR
    case .link: S_IFLNK
    }
  }
}

extension stat {
  /// What stat(2) tells.
  fileprivate init(_ attributes: ExportTree.Attributes) {
    self.init()
    st_ino = UInt(attributes.number)
    st_mode = attributes.kind.mode | attributes.permissions
    st_nlink = UInt(attributes.linkCount)
    st_uid = attributes.user
    st_gid = attributes.group
    st_size = Int(clamping: attributes.size)
    st_blocks = Int(clamping: attributes.allocatedSize / 512)
    st_blksize = 4096
    st_mtim = timespec(attributes.modified)
    st_atim = st_mtim
    st_ctim = timespec(attributes.changed)
  }
}

extension timespec {
  fileprivate init(_ time: FileTime) {
    self.init(tv_sec: time.seconds, tv_nsec: time.nanoseconds)
  }
}
