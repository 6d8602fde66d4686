// SPDX-License-Identifier: Apache-2.0
//
// DriverTrace: tells a new driver from one that was there before.
//
// No request says so. A hang-up does not: a front-end that reconnects brings back the driver that ran
// all the time. Neither does a device status of 0: QEMU writes it when it only pauses its guest. And a
// guest's reset may be passed on by nothing but rings that begin again. What there always is, is where
// rings start:
//
//     one does not start at its beginning       the driver goes on, perhaps from before this process,
//                                               whether its front-end or its used index says so
//     all do, and one had stood elsewhere       a new driver
//     all do, and all had stood there           nothing was used, or they went round: as if it goes on
//     all do, and none has ever run             a new driver
//
// In doubt it goes on: a new driver that inherits a failed disk can reset it, an old one that does not
// hear of the failure any more loses data.

import Synchronization

/// What rings leave behind, over the sessions of a device, each of which has a thread of its own.
final class DriverTrace: Sendable {
  /// Where each ring stood when it was stopped last: whether at its beginning; nil where it never ran.
  private let stoodAtBeginning: Mutex<[Bool?]>

  init(ringCount: Int) {
    stoodAtBeginning = Mutex(Array(repeating: nil, count: ringCount))
  }

  /// A ring has stopped.
  func stopped(ring: Int, atBeginning: Bool) {
    stoodAtBeginning.withLock { $0[ring] = atBeginning }
  }

  /// The driver has been reset: whoever comes is new, unless its rings say otherwise.
  func forget() {
    stoodAtBeginning.withLock { stood in
      for ring in stood.indices { stood[ring] = nil }
    }
  }

  /// Whether the driver whose rings are about to run was there before.
  ///
  /// - Parameter starts: the rings that it has started, and whether at their beginning.
  func isBack(_ starts: [(ring: Int, atBeginning: Bool)]) -> Bool {
    if starts.contains(where: { !$0.atBeginning }) { return true }
    let stood = stoodAtBeginning.withLock { stood in starts.compactMap { stood[$0.ring] } }
    return !stood.isEmpty && stood.allSatisfy { $0 }
  }
}
