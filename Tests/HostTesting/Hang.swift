// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What keeps requests from finishing, as a host's storage can.
package final class Hang: Sendable {
  private let value = Atomic<Bool>(false)
  private let waiting = Atomic<Int>(0)

  package init() {}

  package var isSet: Bool { value.load(ordering: .relaxed) }
  package func set(_ on: Bool) { value.store(on, ordering: .relaxed) }

  /// Whether a request hangs now.
  package var isFelt: Bool { isSet && waiting.load(ordering: .acquiring) > 0 }

  /// Waits as long as it is set.
  package func wait() {
    waiting.add(1, ordering: .releasing)
    while isSet { pause(.milliseconds(1)) }
    waiting.subtract(1, ordering: .relaxed)
  }
}
