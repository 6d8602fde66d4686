// SPDX-License-Identifier: Apache-2.0
//
// EventInbox: what other threads have to tell the control thread. They leave a note and ring a bell that
// it polls; nothing of a session is ever touched from outside.

import Linux
import Synchronization
import VirtioRing

/// Notes for the control thread. Their number is bounded: a note that is there already is not left
/// twice, and a queue breaks once for each time that it is started.
final class EventInbox: Sendable {
  enum Event: Sendable, Equatable {
    /// A queue of a session has broken, in one of its runs.
    case fault(session: UInt64, queue: Int, run: UInt64, RingError)
    /// A ring's call found no room in the session's back-end channel.
    case unsentCall(session: UInt64, queue: Int)
    /// The configuration space of a device has changed.
    case configurationChange(endpoint: Int)
    /// The server is to end.
    case stop
  }

  private let events = Mutex<[Event]>([])
  private let bell: EventFD

  init() throws(Errno) {
    bell = try EventFD(nonBlocking: true)
  }

  /// Readable when there are notes.
  var descriptor: Int32 { bell.descriptor.raw }

  /// Leaves a note. From any thread; never blocks for long.
  func post(_ event: Event) {
    let isNew = events.withLock { events in
      guard !events.contains(event) else { return false }
      events.append(event)
      return true
    }
    if isNew { bell.signal() }
  }

  /// Takes all notes.
  func take() -> [Event] {
    bell.drain()
    return events.withLock { events in
      defer { events = [] }
      return events
    }
  }
}
