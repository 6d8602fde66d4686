// SPDX-License-Identifier: Apache-2.0
//
// RawFrontEnd: the front-end's end of the socket and nothing more. It sends any bytes with any
// descriptors, so it serves hostile tests as it is, and honest ones through FrontEnd.

public import Linux
public import VhostUserTransport

/// A connection to a back-end, without any state of the protocol.
public struct RawFrontEnd: ~Copyable, Sendable {
  /// The socket.
  public let socket: FileDescriptor
  /// How long a reply may take. It only ends a hang.
  public var patience = Duration.seconds(120)

  /// Connects to a back-end that listens.
  public init(connectingTo path: String) throws(FrontEndError) {
    do {
      socket = try UnixSocket.connect(path)
    } catch {
      throw .system(error)
    }
  }

  /// Takes over a connected socket.
  public init(_ socket: consuming FileDescriptor) { self.socket = socket }

  // MARK: Sending

  /// Sends bytes, whatever they mean, with descriptors at the first of them.
  public borrowing func send(
    bytes: [UInt8], descriptors: [Int32] = []
  ) throws(FrontEndError) {
    do {
      var rest = bytes
      var descriptors = descriptors
      while !rest.isEmpty {
        rest.removeFirst(try socket.sendMessage(rest, descriptors: descriptors))
        descriptors = []
      }
    } catch .brokenPipe {
      throw .closed
    } catch .connectionReset {
      throw .closed
    } catch {
      throw .system(error)
    }
  }

  /// Sends a message.
  public borrowing func send(
    _ message: Message, descriptors: [Int32] = []
  ) throws(FrontEndError) {
    try send(bytes: message.bytes, descriptors: descriptors)
  }

  /// Sends a request.
  public borrowing func send(
    _ request: FrontEndRequest, _ payload: [UInt8] = [], descriptors: [Int32] = [],
    needReply: Bool = false
  ) throws(FrontEndError) {
    let flags = MessageFlags.version | (needReply ? MessageFlags.needReply : 0)
    try send(
      Message(request.rawValue, flags: flags, payload: payload), descriptors: descriptors)
  }

  // MARK: Receiving

  /// Waits for the next message.
  public borrowing func receive() throws(FrontEndError) -> Message {
    let header = MessageHeader(try receive(byteCount: MessageHeader.byteCount))
    // No reply of a back-end is longer than the longest piece of a configuration space.
    guard header.payloadByteCount <= 65536 else { throw .badReply }
    let payload = try receive(byteCount: Int(header.payloadByteCount))
    return Message(header.request, flags: header.flags, payload: payload)
  }

  /// Waits for the reply to a request. - Returns: its payload.
  public borrowing func receiveReply(
    to request: FrontEndRequest
  ) throws(FrontEndError) -> [UInt8] {
    let reply = try receive()
    guard reply.request == request.rawValue,
      reply.flags == MessageFlags.version | MessageFlags.reply
    else { throw .badReply }
    return reply.payload
  }

  /// Waits until the back-end has closed the connection.
  ///
  /// - Throws: `.timeout` where it has not, `.badReply` where it sends something instead.
  public borrowing func waitForClose() throws(FrontEndError) {
    do {
      _ = try receive(byteCount: 1)
    } catch .closed {
      return
    }
    throw .badReply
  }

  private borrowing func receive(byteCount: Int) throws(FrontEndError) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < byteCount {
      do {
        guard try !Poll.wait(for: .readable, on: socket, timeout: patience).isEmpty else {
          throw FrontEndError.timeout
        }
        var piece = [UInt8](repeating: 0, count: byteCount - bytes.count)
        let received = try socket.receiveMessage(into: &piece)
        guard received.count > 0 else { throw FrontEndError.closed }
        bytes += piece[..<received.count]
      } catch let error as FrontEndError {
        throw error
      } catch let error as Errno {
        throw error == .connectionReset ? .closed : .system(error)
      } catch {
        throw .badReply
      }
    }
    return bytes
  }
}
