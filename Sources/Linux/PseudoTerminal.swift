// SPDX-License-Identifier: Apache-2.0
//
// A terminal without hardware: what is written here appears there as if a terminal's user saw it,
// and the other way round (pty(7)).

import CLinux
import Glibc

/// The controlling end of a pseudo-terminal.
///
/// Until somebody opens the other end, reading waits. Once the last one there has closed it, reading
/// fails with `.io` and polling reports a hang-up, until it is opened again.
public struct PseudoTerminal: ~Copyable, Sendable {
  /// Our end: what is read was written to the terminal, and what is written can be read there.
  public let descriptor: FileDescriptor
  /// Where the terminal is, for example "/dev/pts/3".
  public let path: String

  /// Makes a pseudo-terminal. Its settings are a terminal's usual ones: see `Terminal.makeRaw()`,
  /// which works through our end.
  public init() throws(Errno) {
    let descriptor = FileDescriptor(
      owning: try systemCall(retryOnInterrupt: true) {
        clinux_posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)
      })
    _ = try systemCall(retryOnInterrupt: true) { clinux_grantpt(descriptor.raw) }
    _ = try systemCall(retryOnInterrupt: true) { clinux_unlockpt(descriptor.raw) }
    var path = [CChar](repeating: 0, count: 128)
    // SAFETY: the call writes a terminated string of at most as many bytes as it is told.
    let code = unsafe clinux_ptsname_r(descriptor.raw, &path, path.count)
    guard code == 0 else { throw Errno(rawValue: code) }
    self.path = String(
      decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    self.descriptor = descriptor
  }

  /// The terminal's settings and size, through our end.
  public var terminal: Terminal { Terminal(descriptor.raw) }
}
