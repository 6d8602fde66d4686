// SPDX-License-Identifier: Apache-2.0
//
// FrontEndThread: the control thread of one front-end, from its connection to its end. It reads requests, starts
// and stops the workers of its device's queues, and waits for them alone: a device whose requests hang holds up
// its own front-end and nobody else's.

import Backends
import Linux

/// What the thread has with it.
struct FrontEndThread: ~Copyable, Sendable {
  let socket: FileDescriptor
  let device: any Device
  let offeredProtocolFeatures: ProtocolFeatures
  let trace: DriverTrace
  let inbox: EventInbox<SessionEvent>
  let log: EndpointLog
  let witness: ServerWitness

  /// Serves until the front-end goes away, or errs, or the server ends: nothing of the session is left then but
  /// what the device knows of its driver.
  ///
  /// - Returns: whether a message has come.
  consuming func run() -> Bool {
    let (device, inbox, log, witness) = (device, inbox, log, witness)
    let session = Session(
      device: device, offering: offeredProtocolFeatures, trace: trace, inbox: inbox)
    let connection = Connection(socket, session: session)
    device.configurationChange.observe { inbox.post(.configurationChange) }
    var isGoing = true
    while isGoing {
      var entries: InlineArray<3, PollEntry> = [
        PollEntry(fd: inbox.descriptor, events: .readable), connection.pollEntry,
        session.channel?.pollEntry ?? .ignored,
      ]
      var failure: Errno?
      do throws(Errno) { _ = try Poll.wait(&entries) } catch { failure = error }
      witness.busy(with: device.name) {
        do throws(SessionError) {
          // For lack of kernel memory: nothing of it is the front-end's doing.
          if let failure { throw .socket(failure) }
          if entries[0].isReady { isGoing = try Self.readInbox(inbox, session) }
          if isGoing {
            if entries[2].isReady { session.channel?.flush() }
            if entries[1].isReady { try connection.serve { log.refused($0) } }
          }
          for fault in session.takeFaults() { log.faulted(fault) }
        } catch {
          for fault in session.takeFaults() { log.faulted(fault) }
          log.ended(error)
          isGoing = false
        }
        if !isGoing { session.end() }
      }
    }
    device.configurationChange.observe(nil)
    return connection.hasServed
  }

  /// - Returns: whether the session goes on.
  private static func readInbox(
    _ inbox: EventInbox<SessionEvent>, _ session: Session
  ) throws(SessionError) -> Bool {
    for event in inbox.take() {
      switch event {
      case .stop: return false
      case .configurationChange: session.configurationChanged()
      case .checkMemory: if session.memory.hasVanished { throw .memoryVanished }
      case .unsentCall(let queue): session.callUnsent(queue)
      case .fault(let queue, let run, let error): session.queueFaulted(queue, run: run, error)
      }
    }
    return true
  }
}
