// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct MessageTests {
  @Test func bytesAndDescriptorsTravelTogether() throws {
    let pair = try UnixSocket.pair()
    let pipe = try Pipe(nonBlocking: false)
    let event = try EventFD(initial: 3)
    let sent = try pair.first.sendMessage(
      [1, 2, 3], descriptors: [pipe.reading.raw, event.descriptor.raw])
    #expect(sent == 3)

    var bytes = [UInt8](repeating: 0, count: 10)
    var message = try pair.second.receiveMessage(into: &bytes)
    #expect(message.count == 3)
    #expect(bytes.prefix(4) == [1, 2, 3, 0])
    #expect(message.descriptors.count == 2)
    #expect(message.areDescriptorsTruncated == false)
    let reading = try required(message.descriptors.take(at: 0))
    #expect(fcntl(message.descriptors.raw(at: 1), F_GETFD) & FD_CLOEXEC != 0)
    try pipe.writing.writeAll([5])
    #expect(try reading.read(upTo: 2) == [5])
    let word = try message.descriptors.take(at: 1)?.readWord()
    #expect(word == 3)
    // Taken once, they are gone.
    let again = message.descriptors.take(at: 1) == nil
    #expect(again)
    #expect(message.descriptors.raw(at: 1) == -1)
  }

  @Test func sixteenDescriptorsFit() throws {
    let pair = try UnixSocket.pair()
    let event = try EventFD()
    let numbers = [Int32](repeating: event.descriptor.raw, count: 16)
    _ = try pair.first.sendMessage([0], descriptors: numbers)
    var bytes: [UInt8] = [1]
    let message = try pair.second.receiveMessage(into: &bytes)
    #expect(message.descriptors.count == 16)
    #expect(message.areDescriptorsTruncated == false)
    #expect((0..<16).allSatisfy { isOpen(message.descriptors.raw(at: $0)) })
    #expect(throws: Errno.invalidArgument) {
      _ = try pair.first.sendMessage([0], descriptors: numbers + numbers.prefix(1))
    }
  }

  @Test(arguments: [17, 18, 100, 253])
  func moreThanFitAreReportedAndNoneLeaks(count: Int) throws {
    let pair = try UnixSocket.pair()
    let pipe = try Pipe(nonBlocking: false)
    try sendRaw(pair.first, [Int32](repeating: pipe.writing.raw, count: count))
    try expectTruncation(pair.second)
    // When nobody but the pipe itself had its writing end, the reader sees the end.
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(try seesEnd(reading))
  }

  @Test func descriptorsThatNobodyTookAreClosed() throws {
    let pair = try UnixSocket.pair()
    let pipe = try Pipe(nonBlocking: false)
    _ = try pair.first.sendMessage([1], descriptors: [pipe.writing.raw, pipe.writing.raw])
    try receiveAndForget(pair.second)
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(try seesEnd(reading))
  }

  @Test func eachPieceOfAStreamKeepsItsOwnDescriptors() throws {
    let pair = try UnixSocket.pair()
    let event = try EventFD()
    _ = try pair.first.sendMessage([1], descriptors: [event.descriptor.raw])
    _ = try pair.first.sendMessage([2], descriptors: [event.descriptor.raw, event.descriptor.raw])
    var bytes: [UInt8] = [0, 0]
    let first = try pair.second.receiveMessage(into: &bytes)
    #expect(first.count == 1)
    #expect(first.descriptors.count == 1)
    let second = try pair.second.receiveMessage(into: &bytes)
    #expect(second.count == 1)
    #expect(bytes[0] == 2)
    #expect(second.descriptors.count == 2)
  }

  @Test func nothingYetAndThePeerGoneAreDifferent() throws {
    let pair = try UnixSocket.pair()
    var bytes: [UInt8] = [0]
    #expect(throws: Errno.again) { _ = try pair.second.receiveMessage(into: &bytes, wait: false) }
    let end = try pair.second.duplicate()
    close(pair)
    let message = try end.receiveMessage(into: &bytes)
    #expect(message.count == 0)
    #expect(message.descriptors.isEmpty == true)
    // No SIGPIPE: with its default action this would end the process.
    #expect(throws: Errno.brokenPipe) { _ = try end.sendMessage([1]) }
  }

  @Test func fullSocketSaysAgainWhenItMayNotWait() throws {
    let pair = try UnixSocket.pair()
    let block = [UInt8](repeating: 1, count: 65536)
    #expect(throws: Errno.again) {
      while true { _ = try pair.first.sendMessage(block, wait: false) }
    }
  }

  @Test func messageCutToItsSpaceIsReported() throws {
    let pair = try UnixSocket.pair(messages: true)
    _ = try pair.first.sendMessage([1, 2, 3])
    _ = try pair.first.sendMessage([4])
    var bytes: [UInt8] = [0, 0]
    let first = try pair.second.receiveMessage(into: &bytes)
    #expect(first.count == 2)
    #expect(first.isTruncated == true)
    let second = try pair.second.receiveMessage(into: &bytes)
    #expect(second.count == 1)
    #expect(second.isTruncated == false)
    #expect(bytes == [4, 2])
  }

  @Test func listThatIsFullClosesWhatItIsGiven() throws {
    let pipe = try Pipe(nonBlocking: false)
    let outcome = try fill(pipe.writing)
    #expect(outcome == [Bool](repeating: true, count: 16) + [false])
    let reading = try pipe.reading.duplicate()
    pipe.end()
    #expect(try seesEnd(reading))
  }

  @Test func placesThatNeverWereAreNil() {
    var list = FileDescriptorList()
    for index in [-1, 0, 15, 16, Int.max, Int.min] {
      let taken = list.take(at: index) == nil
      #expect(taken)
      #expect(list.raw(at: index) == -1)
    }
  }
}

private func fill(_ descriptor: borrowing FileDescriptor) throws -> [Bool] {
  var list = FileDescriptorList()
  var outcome: [Bool] = []
  for _ in 0..<17 { outcome.append(list.append(try descriptor.duplicate())) }
  return outcome
}

private func close(_ pair: consuming SocketPair) {}

private func receiveAndForget(_ socket: borrowing FileDescriptor) throws {
  var bytes: [UInt8] = [0]
  let message = try socket.receiveMessage(into: &bytes)
  #expect(message.descriptors.count == 2)
}

private func expectTruncation(_ socket: borrowing FileDescriptor) throws {
  var bytes: [UInt8] = [0]
  let message = try socket.receiveMessage(into: &bytes)
  #expect(message.count == 1)
  #expect(message.areDescriptorsTruncated == true)
  #expect(message.descriptors.count == 16)
}

/// Sends one byte with any number of descriptors, as a hostile peer would.
private func sendRaw(_ socket: borrowing FileDescriptor, _ descriptors: [Int32]) throws {
  let size = descriptors.count * 4
  var control = [UInt64](repeating: 0, count: (16 + size + 7) / 8)
  // SAFETY: pointers to locals during the call; the buffer holds a header of 16 bytes and the numbers.
  let result = unsafe control.withUnsafeMutableBytes { control in
    unsafe control.storeBytes(of: UInt(16 + size), as: UInt.self)
    unsafe control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
    unsafe control.storeBytes(of: 1, toByteOffset: 12, as: Int32.self)
    for (index, number) in descriptors.enumerated() {
      unsafe control.storeBytes(of: number, toByteOffset: 16 + index * 4, as: Int32.self)
    }
    var byte: UInt8 = 1
    return unsafe withUnsafeMutablePointer(to: &byte) { byte in
      var piece = unsafe iovec(iov_base: byte, iov_len: 1)
      return unsafe withUnsafeMutablePointer(to: &piece) { piece in
        var header = unsafe msghdr()
        unsafe header.msg_iov = piece
        unsafe header.msg_iovlen = 1
        unsafe header.msg_control = control.baseAddress
        unsafe header.msg_controllen = control.count
        return unsafe sendmsg(socket.raw, &header, 0)
      }
    }
  }
  try #require(result == 1)
}
