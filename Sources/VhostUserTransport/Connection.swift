// SPDX-License-Identifier: Apache-2.0
//
// Connection: the socket of one session. It puts messages together from whatever pieces arrive, hands
// them to the session one by one, and sends the replies; it never waits for anything.
//
// A message is read alone, never a byte of the next one, so the descriptors that came with its bytes
// are its own. While a reply is not sent in full, nothing more is read: a front-end that sends and
// never reads holds up itself, and what we keep for it is one reply.

import Linux

/// Puts messages together from a stream.
struct MessageReader: ~Copyable {
  private var buffer = [UInt8](
    repeating: 0, count: MessageHeader.byteCount + FrontEndRequest.maximumPayload)
  /// How many bytes of the message are there.
  private var count = 0
  /// How many it has; that of the header alone until the header is there.
  private var wanted = MessageHeader.byteCount
  private var descriptors = FileDescriptorList()

  /// A message and what came with it.
  struct Received: ~Copyable {
    let message: Message
    var descriptors: FileDescriptorList
  }

  /// Reads on.
  ///
  /// - Returns: the next message, or nil where it is not all there yet.
  mutating func read(from socket: borrowing FileDescriptor) throws(SessionError) -> Received? {
    while true {
      guard try readPiece(from: socket) else { return nil }
      guard count == wanted else { continue }
      if count == MessageHeader.byteCount {
        wanted += try payloadByteCount()
        if count < wanted { continue }
      }
      return take()
    }
  }

  /// - Returns: false where nothing is there to be read.
  private mutating func readPiece(
    from socket: borrowing FileDescriptor
  ) throws(SessionError) -> Bool {
    var piece = [UInt8](repeating: 0, count: wanted - count)
    var received: ReceivedMessage
    do {
      received = try socket.receiveMessage(into: &piece, wait: false)
    } catch .again {
      return false
    } catch .connectionReset {
      throw count == 0 ? .hangup : .hangupInMessage
    } catch {
      throw .socket(error)
    }
    guard received.count > 0 else { throw count == 0 ? .hangup : .hangupInMessage }
    if received.areDescriptorsTruncated {
      // The kernel keeps back what does not fit into the list, and what this process may not open.
      throw received.descriptors.count < FileDescriptorList.capacity
        ? .outOfDescriptors : .tooManyDescriptors
    }
    for index in 0..<received.descriptors.count {
      guard let descriptor = received.descriptors.take(at: index) else { continue }
      guard descriptors.append(descriptor) else { throw .tooManyDescriptors }
    }
    buffer.replaceSubrange(count..<count + received.count, with: piece[..<received.count])
    count += received.count
    return true
  }

  /// Checks the header. - Returns: how many bytes follow it.
  private func payloadByteCount() throws(SessionError) -> Int {
    let header = MessageHeader(buffer)
    guard header.flags & MessageFlags.versionMask == MessageFlags.version,
      header.flags & MessageFlags.reply == 0
    else { throw .badFlags(header.flags) }
    guard header.payloadByteCount <= FrontEndRequest.maximumPayload else {
      throw .payloadTooLarge(request: header.request, byteCount: header.payloadByteCount)
    }
    return Int(header.payloadByteCount)
  }

  private mutating func take() -> Received {
    let header = MessageHeader(buffer)
    let message = Message(
      header.request, flags: header.flags,
      payload: Array(buffer[MessageHeader.byteCount..<count]))
    count = 0
    wanted = MessageHeader.byteCount
    var taken = FileDescriptorList()
    swap(&taken, &descriptors)
    return Received(message: message, descriptors: taken)
  }
}

/// A socket and the session on it.
final class Connection {
  /// How many messages are served before others have their turn.
  private static let turn = 32

  let session: Session
  private let socket: FileDescriptor
  private var reader = MessageReader()
  /// What is still to be sent.
  private var unsent: [UInt8] = []
  /// Whether a message has come: one that only looks who listens sends none.
  private(set) var hasServed = false

  init(_ socket: consuming FileDescriptor, session: Session) {
    self.socket = socket
    self.session = session
  }

  /// What to wait for.
  var pollEntry: PollEntry {
    PollEntry(fd: socket.raw, events: unsent.isEmpty ? .readable : .writable)
  }

  /// Goes on with whatever is possible now.
  ///
  /// - Parameter onRefusal: told of every request that was refused.
  /// - Throws: what ends the session.
  func serve(onRefusal: (SessionError) -> Void) throws(SessionError) {
    for _ in 0..<Self.turn {
      guard try flush() else { return }
      guard var received = try reader.read(from: socket) else { return }
      hasServed = true
      let (reply, refusal) = try session.respond(
        to: received.message, &received.descriptors)
      if let refusal { onRefusal(refusal) }
      if let reply { unsent = reply.bytes }
    }
    _ = try flush()
  }

  /// Sends what is left. - Returns: whether all is sent.
  private func flush() throws(SessionError) -> Bool {
    while !unsent.isEmpty {
      do {
        unsent.removeFirst(try socket.sendMessage(unsent, wait: false))
      } catch .again {
        return false
      } catch .brokenPipe {
        throw .hangup
      } catch .connectionReset {
        throw .hangup
      } catch {
        throw .socket(error)
      }
    }
    return true
  }
}
