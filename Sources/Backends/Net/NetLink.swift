// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Whether frames pass: what the user wants, and what the host's interface is able to.
///
/// Control thread, link monitor and both queues look at it and change it: one relaxed atomic, since nothing else
/// hangs on its order. Each change is of one bit, so of all who change it at once the one that took the link up
/// or down knows, and tells of it.
final class NetLink: Sendable {
  /// What frames need, and what they must not have.
  private static let wanted: UInt8 = 1
  private static let carrier: UInt8 = 2
  private static let gone: UInt8 = 4

  private let state = Atomic<UInt8>(NetLink.wanted | NetLink.carrier)
  /// Signalled when `isUp` has changed.
  let change: ChangeSignal

  private let onLoss: @Sendable () -> Void

  /// - Parameter onLoss: told once, by whoever finds first that the host's end has vanished.
  init(change: ChangeSignal, onLoss: @escaping @Sendable () -> Void) {
    self.change = change
    self.onLoss = onLoss
  }

  /// What the driver is told.
  var isUp: Bool { Self.isUp(state.load(ordering: .relaxed)) }

  private static func isUp(_ state: UInt8) -> Bool { state == wanted | carrier }

  /// Whether the user wants frames to pass.
  var isWanted: Bool {
    @inline(__always) get { state.load(ordering: .relaxed) & Self.wanted != 0 }
  }

  /// Whether the host's end has vanished for good.
  var isGone: Bool { state.load(ordering: .relaxed) & Self.gone != 0 }

  /// The user takes the link up or down.
  func setWanted(_ isUp: Bool) { tell(set(Self.wanted, isUp)) }

  /// The host's interface has come up or gone down.
  func setCarrier(_ isUp: Bool) { tell(set(Self.carrier, isUp)) }

  /// The host's end has vanished: there will be no more frames.
  func lose() {
    let (before, after) = set(Self.gone, true)
    if before != after { onLoss() }
    tell((before, after))
  }

  private func set(_ bit: UInt8, _ isSet: Bool) -> (before: UInt8, after: UInt8) {
    let (before, after) =
      isSet
      ? state.bitwiseOr(bit, ordering: .relaxed) : state.bitwiseAnd(~bit, ordering: .relaxed)
    return (before, after)
  }

  private func tell(_ states: (before: UInt8, after: UInt8)) {
    if Self.isUp(states.before) != Self.isUp(states.after) { change.signal() }
  }
}
