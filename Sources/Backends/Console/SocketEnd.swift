// SPDX-License-Identifier: Apache-2.0
//
// SocketEnd: a console behind a Unix socket, for one client at a time.
//
// While a client is there nobody else is accepted; the kernel keeps the next ones waiting. A client that
// has shut down its sending side (`printf … | nc -U -N`) may still want to read, so each direction ends
// by itself, and the client has left when both have, or when polling reports a hang-up and all that it sent
// has been read. Where the guest never takes that, the rest is thrown away: it must not keep others out.

import Linux

struct SocketEnd: HostEnd, ~Copyable {
  static var watchesKeys: Bool { false }

  private let name: String
  private let path: String
  private let listener: FileDescriptor
  /// Which file we made at the path; somebody else's is left alone.
  private let ownFile: FileStatus?
  private let trouble: TroubleReport
  private var client: FileDescriptor?
  /// Accepting failed, for want of descriptors at a guess: the client still waits, and waiting for it
  /// would end at once.
  private var isOverloaded = false
  private var canRead = false
  private var canWrite = false

  init(name: String, path: String, trouble: TroubleReport) throws(DeviceError) {
    self.name = name
    self.path = path
    self.trouble = trouble
    listener = try Self.listen(path, name)
    ownFile = try? FileSystem.status(of: path)
  }

  private static func listen(
    _ path: String, _ name: String
  ) throws(DeviceError) -> FileDescriptor {
    do throws(Errno) {
      if try UnixSocket.state(of: path) == .stale { try FileSystem.remove(path) }
      return try UnixSocket.listen(path)
    } catch {
      throw DeviceError("listen on \(path) for \(name)", reason(error, path))
    }
  }

  /// What is in the way, and what to do.
  private static func reason(_ error: Errno, _ path: String) -> String {
    guard error == .addressInUse else { return error.description }
    return (try? UnixSocket.state(of: path)) == .live
      ? "another program listens there; stop it or choose another path"
      : "a file is in the way; remove it or choose another path"
  }

  private var clientDescriptor: Int32 {
    switch client {
    case .some(let client): client.raw
    case .none: -1
    }
  }

  var arrivals: WakeSource {
    guard isAttended else {
      return isOverloaded ? .none : WakeSource(listener.raw, .readable)
    }
    // Without an event to wait for, polling still reports that the client has left.
    return WakeSource(clientDescriptor, canRead ? .readable : [])
  }

  var lookInterval: Duration? { isOverloaded ? .milliseconds(250) : nil }

  var isAttended: Bool { clientDescriptor >= 0 }

  var presence: Int32 { clientDescriptor }

  var outlet: Int32 { canWrite ? clientDescriptor : -1 }

  mutating func receive(into buffer: inout [UInt8], hasRoom: Bool) -> Int {
    guard isAttended else {
      accept()
      return 0
    }
    guard canRead else {
      // Nothing was waited for but the client's leaving.
      dismiss()
      return 0
    }
    guard hasRoom else { return 0 }
    do throws(Errno) {
      let count = try read(into: &buffer)
      if count == 0 {
        canRead = false
        if !canWrite { dismiss() }
      }
      return count
    } catch .again {
      return 0
    } catch {
      dismiss()
      return 0
    }
  }

  mutating func send(_ bytes: [UInt8], _ range: Range<Int>) -> Sent {
    do throws(Errno) {
      switch client {
      case .some(let client): return .taken(try client.write(bytes.span.extracting(range)))
      case .none: return .nothing
      }
    } catch .again {
      return .nothing
    } catch {
      // What it sent before it left is still to be read.
      canWrite = false
      if !canRead { dismiss() }
      return .nothing
    }
  }

  mutating func forget() -> Int {
    var buffer = [UInt8](repeating: 0, count: 16384)
    var total = 0
    // It has left, so there is an end, or an error.
    while let count = try? read(into: &buffer), count > 0 { total += count }
    dismiss()
    return total
  }

  mutating func close() {
    dismiss()
    guard let ownFile, let file = try? FileSystem.status(of: path),
      file.device == ownFile.device, file.inode == ownFile.inode
    else { return }
    try? FileSystem.remove(path)
  }

  private mutating func accept() {
    do throws(Errno) {
      client = try UnixSocket.accept(on: listener, nonBlocking: true)
      isOverloaded = false
      canRead = isAttended
      canWrite = isAttended
    } catch {
      isOverloaded = true
      trouble.report("\(name): cannot accept a client on \(path): \(error)")
    }
  }

  private mutating func dismiss() {
    client = nil
    canRead = false
    canWrite = false
  }

  private borrowing func read(into buffer: inout [UInt8]) throws(Errno) -> Int {
    switch client {
    case .some(let client): try client.read(into: &buffer)
    case .none: 0
    }
  }
}
