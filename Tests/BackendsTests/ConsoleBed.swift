// SPDX-License-Identifier: Apache-2.0
//
// ConsoleBed: a console with a driver on both of its queues, and what a host program does with the
// other end.

import Backends
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

/// A class for the reason that QueueBed is one.
final class ConsoleBed {
  let device: ConsoleDevice
  let receive: QueueBed
  let transmit: QueueBed
  /// As many buffers as the rings have entries, in each queue.
  private static let bufferCount = 16
  private static let bufferSize = 8192
  private let inputBuffers: UInt64
  private let outputBuffers: UInt64
  private var heard: [UInt8] = []
  private var offeredInput = 0
  /// How many bytes the guest has offered for printing so far.
  private(set) var offeredOutput = 0

  init(_ options: ConsoleOptions, _ format: QueueFormat = .split, name: String = "console0") throws
  {
    device = try ConsoleDevice(name: name, options: options)
    receive = try QueueBed(device, index: 0, format)
    transmit = try QueueBed(device, index: 1, format)
    let bytes = UInt64(Self.bufferCount * Self.bufferSize)
    inputBuffers = receive.space.take(bytes)
    outputBuffers = transmit.space.take(bytes)
  }

  deinit { end() }

  /// Stops the queues, then the device.
  func end() {
    receive.stop()
    transmit.stop()
    device.shutDown()
  }

  // MARK: Guest

  /// The guest prints. - Returns: how many bytes the device took in time.
  func say(
    _ bytes: [UInt8], pieceSize: Int = 1000, within time: Duration = soon
  ) throws -> Int {
    let end = ContinuousClock.now + time
    var offered = 0
    var free = Array(0..<Self.bufferCount)
    var taken = 0
    while taken < bytes.count {
      while offered < bytes.count, let slot = free.popLast() {
        let piece = Array(bytes[offered..<min(offered + pieceSize, bytes.count)])
        let address = outputBuffers + UInt64(slot * Self.bufferSize)
        transmit.memory.write(piece, at: address)
        let token = UInt64(slot << 32 | piece.count)
        #expect(transmit.offer([.readable(address, UInt32(piece.count))], token: token))
        offered += piece.count
        offeredOutput += piece.count
      }
      guard let used = try transmit.awaitUsed(within: end - ContinuousClock.now) else { break }
      #expect(used.written == 0)
      taken += Int(used.token & 0xffff_ffff)
      free.append(Int(used.token >> 32))
    }
    return taken
  }

  func say(_ text: String) throws {
    #expect(try say(Array(text.utf8)) == text.utf8.count)
  }

  /// The guest reads until it has so many bytes, or the time is over.
  func hear(
    _ count: Int, bufferSize: Int = 4096, within time: Duration = soon
  ) throws -> [UInt8] {
    let end = ContinuousClock.now + time
    while heard.count < count {
      while offeredInput < Self.bufferCount {
        // IDs are handed out in turn; chains come back in the order in which they were offered.
        let address = inputBuffers + UInt64(offeredInput * Self.bufferSize)
        guard receive.offer([.writable(address, UInt32(bufferSize))], token: address) else { break }
        offeredInput += 1
      }
      guard let used = try receive.awaitUsed(within: end - ContinuousClock.now) else { break }
      heard += receive.memory.bytes(at: used.token, count: Int(used.written))
      #expect(receive.offer([.writable(used.token, UInt32(bufferSize))], token: used.token))
    }
    defer { heard.removeFirst(min(count, heard.count)) }
    return Array(heard.prefix(count))
  }

  func hearText(_ count: Int, within time: Duration = soon) throws -> String {
    String(decoding: try hear(count, within: time), as: UTF8.self)
  }
}

// MARK: Host

/// Reads until there are so many bytes, the end is reached, or the time is over.
func readBytes(
  _ count: Int, from descriptor: borrowing FileDescriptor, within time: Duration = soon
) throws -> [UInt8] {
  let end = ContinuousClock.now + time
  var bytes: [UInt8] = []
  while bytes.count < count {
    let left = end - ContinuousClock.now
    guard left > .zero else { break }
    let found = try Poll.wait(for: .readable, on: descriptor, timeout: left)
    guard !found.isEmpty else { break }
    let piece: [UInt8]
    do throws(Errno) {
      piece = try descriptor.read(upTo: count - bytes.count)
    } catch {
      // EIO is how a pseudo-terminal says that its other end is closed.
      if error == .again { continue }
      if error == .io { break }
      throw error
    }
    guard !piece.isEmpty else { break }
    bytes += piece
  }
  return bytes
}

func readText(
  _ count: Int, from descriptor: borrowing FileDescriptor, within time: Duration = soon
) throws -> String {
  String(decoding: try readBytes(count, from: descriptor, within: time), as: UTF8.self)
}

/// Bytes in which a lost, doubled or moved one shows.
func randomBytes(_ count: Int, seed: UInt32 = 1) -> [UInt8] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return UInt8(truncatingIfNeeded: state >> 24)
  }
}
