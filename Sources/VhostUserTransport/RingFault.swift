// SPDX-License-Identifier: Apache-2.0

import Backends
import VirtioRing

/// A ring that does not run any more, or could not start.
struct RingFault {
  /// Which of the device's queues.
  let queue: Int
  /// Why.
  let reason: Reason

  enum Reason {
    /// The driver's doing.
    case ring(RingError)
    /// The host's.
    case host(DeviceError)
    /// The front-end has started the ring and shared no memory.
    case noMemory
  }

  /// What is to be done where the front-end's memory is not ours to see. QEMU then sends no region, or only
  /// those of the memory that is shared, and starts its rings all the same.
  private static let advice =
    "guest memory must be shared: QEMU needs memory-backend-memfd,share=on"

  /// For the log.
  var line: String {
    switch reason {
    case .ring(.ringOutsideMemory):
      "queue \(queue) is stopped: \(RingError.ringOutsideMemory); \(Self.advice)"
    case .ring(let error): "queue \(queue) is stopped: \(error)"
    case .host(let error): "queue \(queue) is stopped: \(error)"
    case .noMemory:
      "queue \(queue) cannot start: the front-end has shared no memory; \(Self.advice)"
    }
  }
}
