// SPDX-License-Identifier: Apache-2.0
//
// BackendChannel: the socket for what the back-end has to tell by itself. Nothing is ever waited for
// on it. All rings share it, so one of them can fill it, and the calls of the others find no room. What found
// none is kept, each thing once, and sent when the front-end has read: the control thread polls for
// that. Workers leave it a note of the calls that they could not make.

import Backends
import Linux

/// The front-end's end of the channel for requests of the back-end.
final class BackendChannel {
  /// Something to tell.
  private struct Notice: Equatable {
    let request: BackEndRequest
    let ring: Int?

    var bytes: [UInt8] {
      let payload = ring.map { VringState(index: UInt32($0), number: 0).bytes } ?? []
      return Message(request.rawValue, payload: payload).bytes
    }
  }

  private let socket: FileDescriptor
  /// What found no room, in order; at most a call and an error of each ring, and a change.
  private var unsent: [Notice] = []

  init(_ descriptor: consuming FileDescriptor) throws(SessionError) {
    let action = "use the back-end channel"
    let kind = try Session.host(action) { () throws(Errno) in try descriptor.status().kind }
    guard kind == .socket else { throw .badDescriptorKind(.setBackendChannel) }
    try Session.host(action) { () throws(Errno) in try descriptor.setNonBlocking(true) }
    socket = descriptor
  }

  /// What to wait for; ignored while nothing is left.
  var pollEntry: PollEntry {
    unsent.isEmpty ? .ignored : PollEntry(fd: socket.raw, events: .writable)
  }

  /// Sends a request that no reply is asked for, now or when there is room.
  func send(_ request: BackEndRequest, ring: Int? = nil) {
    let notice = Notice(request: request, ring: ring)
    guard !unsent.contains(notice) else { return }
    unsent.append(notice)
    flush()
  }

  /// Sends what is left, as far as there is room.
  func flush() {
    while let notice = unsent.first {
      do {
        // Short messages go whole or not at all: a Unix socket takes each write as one piece.
        _ = try socket.sendMessage(notice.bytes, wait: false)
        unsent.removeFirst()
      } catch .again {
        return
      } catch {
        // Nobody listens any more.
        unsent = []
      }
    }
  }

  /// A call of a ring as a message (VHOST_USER_BACKEND_VRING_CALL), for its worker to send.
  ///
  /// - Parameter onFull: told, on the worker's thread, when there was no room.
  func callTarget(
    ring: Int, onFull: @escaping @Sendable () -> Void
  ) throws(SessionError) -> CallTarget {
    let message = Notice(request: .vringCall, ring: ring).bytes
    var reader = PayloadReader(message + [0, 0, 0, 0])
    guard let first = reader.read64(), let second = reader.read64(), let third = reader.read64()
    else { preconditionFailure("a call has twenty bytes") }
    do {
      return CallTarget(
        writing: (first, second, third), byteCount: 20, to: try socket.duplicate(),
        onFull: onFull)
    } catch {
      throw .host(DeviceError("duplicate a file descriptor", error))
    }
  }
}
