// SPDX-License-Identifier: Apache-2.0
//
// DiskWriter: keeps writes in flight on a served disk, each to a place of its own, and remembers which of
// them were answered.

import Backends
import Linux
import Testing
import VhostUserTesting
import VirtioRing
import VirtioTesting

/// Writes to a disk through a front-end, from its start on.
struct DiskWriter: ~Copyable {
  /// Of one write, in bytes.
  static let writeSize = 32768

  private let frontEnd: FrontEnd
  private var ring: FrontEndRing
  private var slots: [Slot] = []
  private let placeCount: Int
  private var nextPlace = 0
  /// The places whose write was answered with OK, in the order of the answers.
  private(set) var written: [Int] = []

  /// A request and its buffers.
  private struct Slot {
    let header: UInt64
    let data: UInt64
    let status: UInt64
    var place = 0
  }

  /// Connects to a disk and puts the first writes in flight.
  ///
  /// - Parameters:
  ///   - depth: how many are kept there.
  ///   - byteCount: of the disk.
  init(connectingTo path: String, depth: Int, byteCount: Int) throws {
    let frontEnd = try FrontEnd(connectingTo: path)
    var ring = try frontEnd.bringUp([.version1, .blockFlush], size: 128)
    ring.patience = .milliseconds(50)
    self.frontEnd = frontEnd
    self.ring = ring
    placeCount = byteCount / Self.writeSize
    for slot in 0..<depth {
      let data = frontEnd.space.take(UInt64(Self.writeSize), alignment: 4096)
      frontEnd.memory.memory.fill(Self.filling, at: data, count: UInt64(Self.writeSize))
      slots.append(
        Slot(header: frontEnd.space.take(16), data: data, status: frontEnd.space.take(1)))
      send(slot)
    }
  }

  private static let filling: UInt8 = 0x5a

  /// What the write to a place leaves there.
  static func content(of place: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: filling, count: writeSize)
    for index in 0..<8 {
      let byte = UInt8(truncatingIfNeeded: (place + 1) >> (8 * index))
      bytes[index] = byte
      bytes[writeSize - 8 + index] = byte
    }
    return bytes
  }

  /// Sends the next write, while there is room on the disk.
  private mutating func send(_ index: Int) {
    guard nextPlace < placeCount else { return }
    slots[index].place = nextPlace
    nextPlace += 1
    let slot = slots[index]
    let memory = frontEnd.memory.memory
    memory.store(UInt64(1), at: slot.header)
    memory.store(UInt64(slot.place * Self.writeSize / 512), at: slot.header + 8)
    memory.store(UInt64(slot.place + 1), at: slot.data)
    memory.store(UInt64(slot.place + 1), at: slot.data + UInt64(Self.writeSize) - 8)
    memory.store(UInt8(0xff), at: slot.status)
    let isOffered = ring.offer(
      [
        .readable(slot.header, 16), .readable(slot.data, UInt32(Self.writeSize)),
        .writable(slot.status, 1),
      ], token: UInt64(index))
    #expect(isOffered)
  }

  /// Takes an answer and sends the next write in its place.
  ///
  /// - Returns: false where none came in a while.
  @discardableResult
  mutating func turn() throws -> Bool {
    do {
      let slot = Int(try ring.collect().token)
      #expect(frontEnd.memory.memory.load(UInt8.self, at: slots[slot].status) == 0)
      written.append(slots[slot].place)
      send(slot)
      return true
    } catch FrontEndError.timeout {
      return false
    }
  }

  /// How many were sent.
  var sentCount: Int { nextPlace }
}
