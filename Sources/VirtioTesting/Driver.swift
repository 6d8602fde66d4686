// SPDX-License-Identifier: Apache-2.0

public import VirtioRing

/// The driver's end of a ring of either format, told apart by one branch.
///
/// The calls are those of `SplitDriver` and `PackedDriver`.
public struct Driver: ~Copyable, Sendable {
  // Exactly one of them is there, as in Virtqueue.
  private var split: SplitDriver?
  private var packed: PackedDriver?

  /// Where the ring is.
  public let plan: RingPlan
  /// The memory that the ring and its buffers lie in.
  public let memory: TestMemory
  /// What was negotiated.
  public let features: Features

  /// Clears the ring and starts it.
  ///
  /// - Parameters:
  ///   - plan: where the ring lies.
  ///   - memory: what it lies in.
  ///   - features: what was negotiated.
  ///   - start: where both sides start from: an index (split) or a slot (packed).
  ///   - wrap: packed only, the wrap counter there.
  /// - Precondition: memory holds the plan's areas, each in one region.
  public init(
    _ plan: RingPlan, memory: TestMemory, features: Features, start: UInt16 = 0, wrap: Bool = true
  ) {
    self.plan = plan
    self.memory = memory
    self.features = features
    switch plan.layout {
    case .split:
      split = SplitDriver(plan, memory: memory, features: features, start: start)
      packed = nil
    case .packed:
      split = nil
      packed = PackedDriver(plan, memory: memory, features: features, start: start, wrap: wrap)
    }
  }

  /// What the device is told about this ring, to go on with what was not collected yet.
  public var configuration: QueueConfiguration {
    switch split {
    case .some(let split): return split.configuration
    case .none: break
    }
    switch packed {
    case .some(let packed): return packed.configuration
    case .none: preconditionFailure("one of the two is there")
    }
  }

  /// Descriptors of the ring that are in no chain.
  public var freeCount: Int {
    switch split {
    case .some(let split): return split.freeCount
    case .none: break
    }
    switch packed {
    case .some(let packed): return packed.freeCount
    case .none: return 0
    }
  }

  /// Chains staged and not yet collected.
  public var inFlightCount: Int {
    switch split {
    case .some(let split): return split.inFlightCount
    case .none: break
    }
    switch packed {
    case .some(let packed): return packed.inFlightCount
    case .none: return 0
    }
  }

  /// Writes a chain and makes it available.
  ///
  /// - Parameters:
  ///   - buffers: at least one, device-readable ones first.
  ///   - shape: where the descriptors go.
  ///   - token: comes back with the used chain.
  /// - Returns: false where too few descriptors are free.
  @inline(__always)
  public mutating func offer(
    _ buffers: Span<DriverBuffer>, shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    guard stage(buffers, shape: shape, token: token) else { return false }
    publish()
    return true
  }

  /// Writes a chain and makes it available: the same from an array, which allocates.
  public mutating func offer(
    _ buffers: [DriverBuffer], shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    offer(buffers.span, shape: shape, token: token)
  }

  /// Writes a chain without making it available yet. As `offer` otherwise.
  @inline(__always)
  public mutating func stage(
    _ buffers: Span<DriverBuffer>, shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    split?.stage(buffers, shape: shape, token: token)
      ?? packed?.stage(buffers, shape: shape, token: token) ?? false
  }

  /// Writes a chain without making it available yet: the same from an array, which allocates.
  public mutating func stage(
    _ buffers: [DriverBuffer], shape: ChainShape = .direct, token: UInt64 = 0
  ) -> Bool {
    stage(buffers.span, shape: shape, token: token)
  }

  /// Makes everything available that was staged.
  @inline(__always)
  public mutating func publish() {
    split?.publish()
    packed?.publish()
  }

  /// Whether the device wants a kick for what was published since this was asked last.
  ///
  /// Asking consumes the answer: whoever gets true kicks.
  public mutating func needsKick() -> Bool {
    split?.needsKick() ?? packed?.needsKick() ?? false
  }

  /// Takes the next chain that the device has used.
  ///
  /// - Returns: nil where there is none.
  /// - Throws: what the device did wrong; the chain then stays in flight.
  @inline(__always)
  public mutating func collect() throws(DeviceFault) -> UsedChain? {
    if let used = try split?.collect() { return used }
    if let used = try packed?.collect() { return used }
    return nil
  }

  /// Tells the device that calls are not needed.
  public mutating func suppressCalls() {
    split?.suppressCalls()
    packed?.suppressCalls()
  }

  /// Asks for a call with the next used chain.
  ///
  /// - Returns: true where one is there already: collect it, no call may come for it.
  public mutating func allowCalls() -> Bool {
    split?.allowCalls() ?? packed?.allowCalls() ?? false
  }

  /// Asks for a call when `count` more chains (split) or slots (packed) are used. Without EVENT_IDX:
  /// with the next used chain.
  ///
  /// - Returns: true where chains are used already for which no call may come: collect and ask again.
  /// - Precondition: `count` is 1 to the size.
  public mutating func requestCall(after count: UInt16) -> Bool {
    split?.requestCall(after: count) ?? packed?.requestCall(after: count) ?? false
  }
}
