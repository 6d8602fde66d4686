// SPDX-License-Identifier: Apache-2.0
//
// BackendChannel: the socket for what the back-end has to tell by itself. Nothing is ever waited for
// on it: a message for which there is no room is dropped, since then unread ones say the same.

import Backends
import Linux

/// The front-end's end of the channel for requests of the back-end.
final class BackendChannel {
  private let socket: FileDescriptor

  init(_ descriptor: consuming FileDescriptor) throws(SessionError) {
    let action = "use the back-end channel"
    let kind = try Session.host(action) { () throws(Errno) in try descriptor.status().kind }
    guard kind == .socket else { throw .badDescriptorKind(.setBackendChannel) }
    try Session.host(action) { () throws(Errno) in try descriptor.setNonBlocking(true) }
    socket = descriptor
  }

  /// Sends a request that no reply is asked for.
  func send(_ request: BackEndRequest, ring: Int? = nil) {
    let payload = ring.map { VringState(index: UInt32($0), number: 0).bytes } ?? []
    // Short messages go whole or not at all: a Unix socket takes each write as one piece.
    _ = try? socket.sendMessage(Message(request.rawValue, payload: payload).bytes, wait: false)
  }

  /// A call of a ring as a message (VHOST_USER_BACKEND_VRING_CALL), for its worker to send.
  func callTarget(ring: Int) throws(SessionError) -> CallTarget {
    let message = Message(
      BackEndRequest.vringCall.rawValue,
      payload: VringState(index: UInt32(ring), number: 0).bytes)
    var reader = PayloadReader(message.bytes + [0, 0, 0, 0])
    guard let first = reader.read64(), let second = reader.read64(), let third = reader.read64()
    else { preconditionFailure("a call has twenty bytes") }
    do {
      return CallTarget(
        writing: (first, second, third), byteCount: 20, to: try socket.duplicate())
    } catch {
      throw .host(DeviceError("duplicate a file descriptor", error))
    }
  }
}
