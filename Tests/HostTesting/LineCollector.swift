// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Collects lines that a device or a guest says.
package final class LineCollector: Sendable {
  private let collected = Mutex<[String]>([])

  package init() {}

  package var lines: [String] { collected.withLock { $0 } }

  package func add(_ line: String) { collected.withLock { $0.append(line) } }

  /// What a device is given.
  package var hook: @Sendable (String) -> Void { { self.add($0) } }
}
