// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Tells one observer, the transport, that something of the device has changed.
public final class ChangeSignal: Sendable {
  private let observer = Mutex<(@Sendable () -> Void)?>(nil)

  /// Makes a signal that nobody observes.
  public init() {}

  /// Sets who is told; nil for nobody. The observer is called on the thread that made the change and
  /// must not block.
  public func observe(_ observer: (@Sendable () -> Void)?) {
    self.observer.withLock { $0 = observer }
  }

  /// Tells the observer.
  public func signal() {
    let observer = self.observer.withLock { $0 }
    observer?()
  }
}
