// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Whether frames pass: what the user wants, and what the host's interface is able to.
///
/// Control thread, link monitor and both queues look at it and change it: relaxed atomics, since
/// nothing else hangs on their order.
final class NetLink: Sendable {
  private let wanted = Atomic<Bool>(true)
  private let carrier = Atomic<Bool>(true)
  private let gone = Atomic<Bool>(false)
  /// Signalled when `isUp` may have changed.
  let change: ChangeSignal

  private let onLoss: @Sendable () -> Void

  /// - Parameter onLoss: told once, by whoever finds first that the host's end has vanished.
  init(change: ChangeSignal, onLoss: @escaping @Sendable () -> Void) {
    self.change = change
    self.onLoss = onLoss
  }

  /// What the driver is told.
  var isUp: Bool { isWanted && carrier.load(ordering: .relaxed) && !isGone }

  /// Whether the user wants frames to pass.
  var isWanted: Bool {
    @inline(__always) get { wanted.load(ordering: .relaxed) }
  }

  /// Whether the host's end has vanished for good.
  var isGone: Bool { gone.load(ordering: .relaxed) }

  /// The user takes the link up or down.
  func setWanted(_ isUp: Bool) {
    update { $0.wanted.store(isUp, ordering: .relaxed) }
  }

  /// The host's interface has come up or gone down.
  func setCarrier(_ isUp: Bool) {
    update { $0.carrier.store(isUp, ordering: .relaxed) }
  }

  /// The host's end has vanished: there will be no more frames.
  func lose() {
    update { link in
      if !link.gone.exchange(true, ordering: .relaxed) { link.onLoss() }
    }
  }

  private func update(_ body: (NetLink) -> Void) {
    let before = isUp
    body(self)
    if isUp != before { change.signal() }
  }
}
