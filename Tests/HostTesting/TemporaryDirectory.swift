// SPDX-License-Identifier: Apache-2.0

import Glibc
package import Linux

/// An empty directory, removed with all that is in it when the test lets it go.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() throws(Errno) {
    // Short, since sockets' paths must be.
    var template = Array("/tmp/lgdev-XXXXXX".utf8.map(CChar.init(bitPattern:))) + [0]
    // SAFETY: the call changes the bytes of a terminated string that is ours.
    let isMade = unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return false }
      return unsafe mkdtemp(base) != nil
    }
    guard isMade else { throw .current }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path) }

  /// The path of a file in it.
  package func file(_ name: String) -> String { "\(path)/\(name)" }

  /// The names of what is in it.
  package var names: [String] {
    get throws(Errno) { try Self.names(in: path).sorted() }
  }

  /// Makes a file of these bytes. - Returns: its path.
  @discardableResult
  package func makeFile(_ name: String, _ bytes: [UInt8]) throws(Errno) -> String {
    let file = try FileDescriptor.open(file(name), [.writeOnly, .create, .exclusive])
    try file.writeAll(bytes)
    return self.file(name)
  }

  /// Makes a file of zeros. - Returns: its path.
  @discardableResult
  package func makeFile(_ name: String, size: Int) throws(Errno) -> String {
    try FileDescriptor.open(file(name), [.writeOnly, .create, .exclusive])
      .truncate(to: UInt64(size))
    return file(name)
  }

  /// Makes a FIFO. - Returns: its path.
  package func makeFIFO(_ name: String) throws(Errno) -> String {
    // SAFETY: the path is a terminated string during the call.
    guard unsafe mkfifo(file(name), 0o600) == 0 else { throw .current }
    return file(name)
  }

  /// What is in a file.
  package func text(_ name: String) throws(Errno) -> String {
    String(decoding: try FileSystem.contents(of: file(name), limit: 64 << 20), as: UTF8.self)
  }

  private static func names(in path: String) throws(Errno) -> [String] {
    // SAFETY: the path is a terminated string during the call; the stream is read before it is closed, and an
    // entry before the next is asked for.
    guard let directory = unsafe opendir(path) else { throw .current }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  private static func remove(_ path: String) {
    for name in (try? names(in: path)) ?? [] {
      let file = "\(path)/\(name)"
      do {
        try FileSystem.remove(file)
      } catch {
        // A directory. No link is followed: one can be removed.
        remove(file)
      }
    }
    try? FileSystem.removeDirectory(path)
  }
}
