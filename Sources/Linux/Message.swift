// SPDX-License-Identifier: Apache-2.0
//
// Bytes with file descriptors, over Unix sockets (SCM_RIGHTS, unix(7)).
//
// What arrives is never trusted to be well-formed: every descriptor that the kernel hands over is
// owned by the result at once, whatever else is wrong with the message. If the sender attached more
// than fit, the kernel keeps back the rest, and says so.

import CLinux
import Glibc

/// What `receiveMessage` got.
@frozen
public struct ReceivedMessage: ~Copyable, Sendable {
  /// How many bytes were received; 0 when the peer has closed the connection.
  public let count: Int
  /// The descriptors that came with them, closed on exec.
  public var descriptors: FileDescriptorList
  /// Whether more descriptors were sent than a list holds (MSG_CTRUNC). Those are closed.
  public let areDescriptorsTruncated: Bool
  /// Whether the message was longer than the space for it (MSG_TRUNC); never on stream sockets.
  public let isTruncated: Bool
}

extension FileDescriptor {
  /// Sends bytes with descriptors attached to the first of them (sendmsg(2)). Never raises SIGPIPE.
  ///
  /// - Parameters:
  ///   - bytes: what to send: at least one byte if there are descriptors.
  ///   - descriptors: numbers of open descriptors, at most 16. The receiver gets duplicates.
  ///   - wait: whether to wait for room when the socket itself would.
  /// - Returns: how many bytes the socket took, which can be fewer on a stream socket; the
  ///   descriptors are sent then, and the rest goes without them.
  public borrowing func sendMessage(
    _ bytes: Span<UInt8>, descriptors: [Int32] = [], wait: Bool = true
  ) throws(Errno) -> Int {
    guard descriptors.count <= FileDescriptorList.capacity else { throw .invalidArgument }
    // Room for 16 descriptors and the header before them, in words for its alignment.
    var control = InlineArray<16, UInt64>(repeating: 0)
    let controlLength =
      descriptors.isEmpty ? 0 : clinux_cmsg_space(descriptors.count * MemoryLayout<Int32>.size)
    let flags = Int32(MSG_NOSIGNAL) | (wait ? 0 : Int32(MSG_DONTWAIT))

    // SAFETY (all here): pointers are to memory that lives through the call: the span, which sendmsg only
    // reads, and locals. The control buffer has 128 bytes, and 16 descriptors take 80.
    return try unsafe bytes.withUnsafeBufferPointer { buffer throws(Errno) in
      var piece = unsafe iovec(
        iov_base: UnsafeMutableRawPointer(mutating: buffer.baseAddress), iov_len: buffer.count)
      return try systemCall(retryOnInterrupt: true) {
        unsafe withUnsafeMutablePointer(to: &piece) { piece in
          unsafe withUnsafeMutableBytes(of: &control) { control in
            var header = unsafe msghdr()
            unsafe header.msg_iov = piece
            unsafe header.msg_iovlen = 1
            if controlLength > 0 {
              unsafe header.msg_control = control.baseAddress
              unsafe header.msg_controllen = controlLength
              unsafe Self.write(descriptors, to: &header)
            }
            return unsafe sendmsg(raw, &header, flags)
          }
        }
      }
    }
  }

  /// Sends an array of bytes with descriptors attached: see the form for spans.
  public borrowing func sendMessage(
    _ bytes: [UInt8], descriptors: [Int32] = [], wait: Bool = true
  ) throws(Errno) -> Int {
    try sendMessage(bytes.span, descriptors: descriptors, wait: wait)
  }

  /// Receives bytes, and the descriptors attached to them (recvmsg(2)).
  ///
  /// On a stream socket one call never runs past bytes that have descriptors of their own.
  ///
  /// - Parameters:
  ///   - bytes: where the bytes go.
  ///   - wait: whether to wait for the first byte when the socket itself would.
  /// - Throws: `.again` when there is nothing and it may not wait, `.connectionReset`.
  public borrowing func receiveMessage(
    into bytes: inout MutableSpan<UInt8>, wait: Bool = true
  ) throws(Errno) -> ReceivedMessage {
    var control = InlineArray<16, UInt64>(repeating: 0)
    let controlLength =
      clinux_cmsg_space(FileDescriptorList.capacity * MemoryLayout<Int32>.size)
    let flags = clinux_MSG_CMSG_CLOEXEC | (wait ? 0 : Int32(MSG_DONTWAIT))
    var descriptors = FileDescriptorList()
    var returned: Int32 = 0
    var closed = false

    // SAFETY (all here): pointers are to memory that lives through the call: the span, which recvmsg fills,
    // and locals. The control buffer has 128 bytes, and 16 descriptors take 80.
    let count = try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      var piece = unsafe iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
      return try systemCall(retryOnInterrupt: true) {
        unsafe withUnsafeMutablePointer(to: &piece) { piece in
          unsafe withUnsafeMutableBytes(of: &control) { control in
            var header = unsafe msghdr()
            unsafe header.msg_iov = piece
            unsafe header.msg_iovlen = 1
            unsafe header.msg_control = control.baseAddress
            unsafe header.msg_controllen = controlLength
            let count = unsafe recvmsg(raw, &header, flags)
            if count >= 0 {
              returned = unsafe header.msg_flags
              closed = unsafe Self.take(from: &header, into: &descriptors)
            }
            return count
          }
        }
      }
    }
    return ReceivedMessage(
      count: count, descriptors: descriptors,
      areDescriptorsTruncated: closed || returned & Int32(MSG_CTRUNC) != 0,
      isTruncated: returned & Int32(MSG_TRUNC) != 0)
  }

  /// Receives bytes into the front of an array, which keeps its length: see the form for spans.
  public borrowing func receiveMessage(
    into bytes: inout [UInt8], wait: Bool = true
  ) throws(Errno) -> ReceivedMessage {
    var span = bytes.mutableSpan
    return try receiveMessage(into: &span, wait: wait)
  }

  /// Fills the control buffer of a message, which has room for the descriptors' numbers.
  private static func write(_ descriptors: [Int32], to header: inout msghdr) {
    // SAFETY: the macros stay within the control buffer, whose length was made for these numbers.
    guard
      let control = unsafe clinux_cmsg_firsthdr(&header)?.assumingMemoryBound(to: cmsghdr.self)
    else { return }
    let size = descriptors.count * MemoryLayout<Int32>.size
    unsafe control.pointee.cmsg_level = SOL_SOCKET
    unsafe control.pointee.cmsg_type = Int32(SCM_RIGHTS)
    unsafe control.pointee.cmsg_len = clinux_cmsg_len(size)
    unsafe descriptors.withUnsafeBytes { numbers in
      guard let source = numbers.baseAddress else { return }
      unsafe clinux_cmsg_data(control).copyMemory(from: source, byteCount: size)
    }
  }

  /// Takes every descriptor out of a received message; those that the list has no room for are
  /// closed.
  ///
  /// - Returns: whether any was closed.
  private static func take(
    from header: inout msghdr, into descriptors: inout FileDescriptorList
  ) -> Bool {
    var closed = false
    // SAFETY (all here): the kernel wrote the control buffer, and the macros stay within the length it left.
    var next = unsafe clinux_cmsg_firsthdr(&header)
    while let control = unsafe next?.assumingMemoryBound(to: cmsghdr.self) {
      if unsafe control.pointee.cmsg_level == SOL_SOCKET
        && control.pointee.cmsg_type == Int32(SCM_RIGHTS)
      {
        let size = unsafe Int(control.pointee.cmsg_len) - Int(clinux_cmsg_len(0))
        for offset in stride(from: 0, to: size, by: MemoryLayout<Int32>.size) {
          let number = unsafe clinux_cmsg_data(control).loadUnaligned(
            fromByteOffset: offset, as: Int32.self)
          if !descriptors.append(FileDescriptor(owning: number)) { closed = true }
        }
      }
      unsafe next = clinux_cmsg_nxthdr(&header, control)
    }
    return closed
  }
}
