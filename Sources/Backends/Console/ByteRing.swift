// SPDX-License-Identifier: Apache-2.0

/// Bytes that wait, in the order in which they came, in a buffer of a fixed size.
struct ByteRing: Sendable {
  private(set) var storage: [UInt8]
  private var first = 0
  private(set) var count = 0

  /// - Precondition: `capacity` is above 0.
  init(capacity: Int) {
    precondition(capacity > 0)
    storage = Array(repeating: 0, count: capacity)
  }

  var isEmpty: Bool { count == 0 }
  var free: Int { storage.count - count }

  /// Where in `storage` the oldest bytes lie, as many as lie together.
  var front: Range<Int> { first..<min(first + count, storage.count) }

  /// Leaves out the oldest bytes.
  mutating func removeFirst(_ count: Int) {
    precondition(count >= 0 && count <= self.count)
    first = (first + count) % storage.count
    self.count -= count
  }

  /// Adds the first bytes of an array. - Precondition: there is room.
  mutating func append(_ bytes: [UInt8], count added: Int) {
    precondition(added <= free)
    var next = (first + count) % storage.count
    for index in 0..<added {
      storage[next] = bytes[index]
      next = next + 1 == storage.count ? 0 : next + 1
    }
    count += added
  }
}
