// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What keeps requests from finishing, as a host's storage can.
package final class Hang: Sendable {
  private let value = Atomic<Bool>(false)

  package init() {}

  package var isSet: Bool { value.load(ordering: .relaxed) }
  package func set(_ on: Bool) { value.store(on, ordering: .relaxed) }

  /// Waits as long as it is set.
  package func wait() {
    while isSet { pause(.milliseconds(1)) }
  }
}
