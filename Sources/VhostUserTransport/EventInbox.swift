// SPDX-License-Identifier: Apache-2.0
//
// EventInbox: what other threads have to tell a thread of this room. They leave a note and ring a bell that it
// polls; nothing that is its own is ever touched from outside.

import Linux
import Synchronization
import VirtioRing

/// Notes for a thread. Their number is bounded: a note that is there already is not left twice.
final class EventInbox<Event: Sendable & Equatable>: Sendable {
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

/// What the main thread is told.
enum ServerEvent: Sendable, Equatable {
  /// The front-end of an endpoint is gone, and its thread about to end.
  case frontEndGone(endpoint: Int)
  /// The server is to end.
  case stop
}

/// What the thread of a front-end is told. A queue breaks once for each time that it is started, so there are not many.
enum SessionEvent: Sendable, Equatable {
  /// A queue has broken, in one of its runs.
  case fault(queue: Int, run: UInt64, RingError)
  /// A ring's call found no room in the back-end channel.
  case unsentCall(queue: Int)
  /// The configuration space of the device has changed.
  case configurationChange
  /// Somewhere in the process shared memory has vanished.
  case checkMemory
  /// The session is to end.
  case stop
}
