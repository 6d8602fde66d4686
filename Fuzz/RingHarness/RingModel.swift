// SPDX-License-Identifier: Apache-2.0
//
// RingModel: what an honest driver and a correct device do, with none of a ring's machinery.
//
// Positions are absolute and never wrap: chains for a split ring, ring slots for a packed one. All that
// the real rings say with indices, flags, wrap counters and event words is one comparison of such
// positions here.
//
//     offered >= published >= taken     chains, in the order in which they were offered
//     used >= visible >= collected      chains, in the order in which the driver must find them

import VirtioTesting

/// When one side wants to be told about the other's progress.
enum Wish: Equatable {
  case never
  case always
  /// When the position is passed.
  case at(Int)
}

/// A chain as the model knows it.
struct ModelChain {
  /// Slots of the ring that it takes.
  var slots = 1
  var bufferCount = 0
  var usesSharedTable = false
  var isDone = false
  var written: UInt32 = 0
}

/// A list of chains with two ends and a fixed capacity.
struct ChainList {
  private var storage: [Int]
  private let mask: Int
  private var head = 0
  private var tail = 0

  init(capacity: Int) {
    var size = 1
    while size < capacity { size *= 2 }
    storage = Array(repeating: 0, count: size)
    mask = size - 1
  }

  var count: Int { tail - head }
  var first: Int? { count > 0 ? storage[head & mask] : nil }
  var last: Int? { count > 0 ? storage[(tail - 1) & mask] : nil }

  mutating func append(_ chain: Int) {
    precondition(count <= mask)
    storage[tail & mask] = chain
    tail += 1
  }

  mutating func prepend(_ chain: Int) {
    precondition(count <= mask)
    head -= 1
    storage[head & mask] = chain
  }

  mutating func removeFirst() { head += 1 }
  mutating func removeLast() { tail -= 1 }
}

/// The state of a ring without its machinery.
struct RingModel {
  static let maximumBuffers = 8

  let isPacked: Bool
  let size: Int
  let eventIndex: Bool
  let inOrder: Bool
  let notifyOnEmpty: Bool

  // Chains and their buffers, by a number that is free again when the driver has collected the chain.
  private var chains: [ModelChain]
  private(set) var buffers: [DriverBuffer]
  private var free: [Int]

  /// Chains that were offered, published and taken, ever; those given back to the ring not counted.
  private(set) var offered = 0
  private(set) var published = 0
  private(set) var taken = 0
  /// Offered and not taken.
  private var waiting: ChainList
  /// IN_ORDER: taken and not used.
  private var inTakenOrder: ChainList
  /// Used and not collected.
  private var used: ChainList
  /// Chains that were used, made visible and collected, ever.
  private(set) var usedCount = 0
  private(set) var visible = 0
  private(set) var collected = 0

  // Absolute positions.
  private var offeredPosition = 0
  private(set) var publishedPosition = 0
  private(set) var takenPosition = 0
  private var usedPosition = 0
  private(set) var visiblePosition = 0
  private(set) var collectedPosition = 0
  private var kickAskedPosition = 0
  private var callAskedPosition = 0

  var kickWish: Wish
  var callWish: Wish

  init(isPacked: Bool, size: Int, eventIndex: Bool, inOrder: Bool, notifyOnEmpty: Bool) {
    self.isPacked = isPacked
    self.size = size
    self.eventIndex = eventIndex
    self.inOrder = inOrder
    self.notifyOnEmpty = notifyOnEmpty
    chains = Array(repeating: ModelChain(), count: size)
    buffers = Array(repeating: .readable(0, 0), count: size * Self.maximumBuffers)
    free = Array((0..<size).reversed())
    waiting = ChainList(capacity: size)
    inTakenOrder = ChainList(capacity: size)
    used = ChainList(capacity: size)
    // Event words of a new split ring name its first position; a new packed ring's say "always".
    kickWish = eventIndex && !isPacked ? .at(0) : .always
    callWish = kickWish
  }

  subscript(chain: Int) -> ModelChain { chains[chain] }

  func buffer(_ index: Int, of chain: Int) -> DriverBuffer {
    buffers[chain * Self.maximumBuffers + index]
  }

  /// How far a chain moves a position.
  private func length(_ chain: Int) -> Int { isPacked ? chains[chain].slots : 1 }

  // MARK: The driver

  /// The number that the next chain will have; nil where all are in flight.
  var nextChain: Int? { free.last }

  /// Puts a buffer of the next chain in its place before the chain is offered.
  mutating func setBuffer(_ index: Int, of chain: Int, _ buffer: DriverBuffer) {
    buffers[chain * Self.maximumBuffers + index] = buffer
  }

  /// Offers the chain that `nextChain` named.
  mutating func offer(_ facts: ModelChain) {
    let chain = free.removeLast()
    chains[chain] = facts
    waiting.append(chain)
    offered += 1
    offeredPosition += length(chain)
  }

  mutating func publishOffers() {
    published = offered
    publishedPosition = offeredPosition
  }

  /// The chain that the driver must collect next, if one is visible.
  var nextUsed: Int? { collected < visible ? used.first : nil }

  /// Collects the chain that `nextUsed` names.
  mutating func collect(_ chain: Int) {
    used.removeFirst()
    collected += 1
    collectedPosition += length(chain)
    free.append(chain)
  }

  // MARK: The device

  /// The chain that the device must take next, if one is available.
  var nextAvailable: Int? { taken < published ? waiting.first : nil }

  /// Takes the chain that `nextAvailable` names.
  mutating func take(_ chain: Int) {
    waiting.removeFirst()
    taken += 1
    takenPosition += length(chain)
    if inOrder { inTakenOrder.append(chain) }
  }

  /// Gives the chain that was taken last back to the ring.
  mutating func giveBack(_ chain: Int) {
    if inOrder { inTakenOrder.removeLast() }
    waiting.prepend(chain)
    taken -= 1
    takenPosition -= length(chain)
  }

  /// Uses a chain, or remembers that it is done where older ones must go first.
  mutating func use(_ chain: Int, written: UInt32) {
    chains[chain].isDone = true
    chains[chain].written = written
    guard inOrder else {
      putUsed(chain)
      return
    }
    while let oldest = inTakenOrder.first, chains[oldest].isDone {
      inTakenOrder.removeFirst()
      putUsed(oldest)
    }
  }

  private mutating func putUsed(_ chain: Int) {
    used.append(chain)
    usedCount += 1
    usedPosition += length(chain)
  }

  mutating func publishUsed() {
    visible = usedCount
    visiblePosition = usedPosition
  }

  // MARK: Kicks and calls

  /// Whether a side that moved from `old` to `new` owes the other a notification. Event words tell
  /// positions apart up to a period only, so a wish is one for every position a period apart, and a
  /// side that moved by more than words can tell owes one whatever they say.
  private func isDue(_ wish: Wish, from old: Int, to new: Int) -> Bool {
    guard new > old else { return false }
    switch wish {
    case .never: return false
    case .always: return true
    case .at(let position):
      if new - old > (isPacked ? size : 0xffff) { return true }
      let period = isPacked ? 2 * size : 0x10000
      // The last position before `new` that stands for the same event word.
      let behind = (new - 1 - position) % period
      return new - 1 - (behind < 0 ? behind + period : behind) >= old
    }
  }

  /// Whether the driver owes a kick; asking consumes the answer.
  mutating func askKick() -> Bool {
    let due = isDue(kickWish, from: kickAskedPosition, to: publishedPosition)
    kickAskedPosition = publishedPosition
    return due
  }

  /// Whether the driver has asked since it published last.
  var isKickAsked: Bool { kickAskedPosition == publishedPosition }

  /// Whether the device owes a call; asking consumes the answer.
  mutating func askCall() -> Bool {
    var due = isDue(callWish, from: callAskedPosition, to: visiblePosition)
    if notifyOnEmpty, visiblePosition > callAskedPosition, published == taken { due = true }
    callAskedPosition = visiblePosition
    return due
  }

  /// Whether the device has asked since it published last.
  var isCallAsked: Bool { callAskedPosition == visiblePosition }
}
