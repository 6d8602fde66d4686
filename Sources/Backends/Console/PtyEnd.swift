// SPDX-License-Identifier: Apache-2.0
//
// PtyEnd: a console as a pseudo-terminal, which programs open and close as they like.
//
// A master whose slave nobody has open is always "ready": polling reports a hang-up, reading fails with
// EIO. Waiting for it would spin. So there are two states. Open: wait for input; EIO means that the last
// user has closed it. Closed: wait for the next opening, with inotify, or where that is not to be
// had by looking four times a second. The slave is opened and closed once at the start: before the
// first opening there would be no hang-up, and output would go to nobody.

import Linux

struct PtyEnd: HostEnd, ~Copyable {
  static var watchesKeys: Bool { false }

  let path: String
  private let pty: PseudoTerminal
  private let link: String?
  private let watch: FileWatch?
  private let window: ConsoleWindow
  private var isOpen = false

  init(name: String, link: String?, window: ConsoleWindow) throws(DeviceError) {
    let pty = try DeviceError.naming("make a pseudo-terminal for \(name)") { () throws(Errno) in
      let pty = try PseudoTerminal()
      try pty.descriptor.setNonBlocking(true)
      _ = try pty.terminal.makeRaw()
      if let size = window.fixedSize { try pty.terminal.setSize(size) }
      _ = try FileDescriptor.open(pty.path, [.readWrite, .noControllingTerminal])
      return pty
    }
    if let link { try Self.makeLink(link, to: pty.path, name) }
    path = pty.path
    watch = try? Self.watch(pty.path)
    self.pty = pty
    self.window = window
    self.link = link
  }

  private static func watch(_ path: String) throws(Errno) -> FileWatch {
    let watch = try FileWatch()
    try watch.add(path, for: .opened)
    return watch
  }

  private static func makeLink(
    _ link: String, to path: String, _ name: String
  ) throws(DeviceError) {
    let action = "make the link \(link) for \(name)"
    let old = try? FileSystem.symbolicLinkTarget(link)
    if let old, !old.hasPrefix("/dev/pts/") {
      throw DeviceError(action, "a link to \(old) is there; remove it first")
    }
    do throws(Errno) {
      // One that is left over from a process that was killed is in nobody's way.
      if old != nil { try FileSystem.remove(link) }
      try FileSystem.makeSymbolicLink(link, to: path)
    } catch .exists {
      throw DeviceError(action, "a file that is no link is there; remove it first")
    } catch {
      throw DeviceError(action, error)
    }
  }

  /// The terminal whose size counts.
  borrowing func openTerminal() -> FileDescriptor? { try? pty.descriptor.duplicate() }

  var arrivals: WakeSource {
    if isOpen { return WakeSource(pty.descriptor.raw, .readable) }
    switch watch {
    case .some(let watch): return WakeSource(watch.descriptor.raw, .readable)
    case .none: return .none
    }
  }

  /// How often to look for what nothing tells of: while it is open for a new size, since Linux signals
  /// that to the slave's programs only; while it is closed, without inotify, for an opening.
  var lookInterval: Duration? {
    if isOpen { return window.fixedSize == nil ? .seconds(1) : nil }
    switch watch {
    case .some: return nil
    case .none: return .milliseconds(250)
    }
  }

  var isAttended: Bool { isOpen }

  var outlet: Int32 { isOpen ? pty.descriptor.raw : -1 }

  mutating func receive(into buffer: inout [UInt8], hasRoom: Bool) -> Int {
    if !isOpen {
      switch watch {
      case .some(let watch): watch.drain()
      case .none: break
      }
    }
    guard hasRoom else {
      let found = try? Poll.wait(for: [], on: pty.descriptor, timeout: .zero)
      isOpen = found?.contains(.hangup) == false
      return 0
    }
    do throws(Errno) {
      // What the last user wrote can still be read after the hang-up.
      let count = try pty.descriptor.read(into: &buffer)
      isOpen = true
      window.follow(pty.terminal)
      return count
    } catch .again {
      isOpen = true
      window.follow(pty.terminal)
      return 0
    } catch {
      if isOpen { _ = try? pty.terminal.makeRaw() }
      isOpen = false
      return 0
    }
  }

  mutating func send(_ bytes: [UInt8], _ range: Range<Int>) -> Sent {
    do throws(Errno) {
      return .taken(try pty.descriptor.write(bytes.span.extracting(range)))
    } catch .again {
      return .nothing
    } catch {
      isOpen = false
      return .nothing
    }
  }

  mutating func close() {
    guard let link, let target = try? FileSystem.symbolicLinkTarget(link), target == path else {
      return
    }
    try? FileSystem.remove(link)
  }
}
