// SPDX-License-Identifier: Apache-2.0
//
// Endpoint: a device and the place where it meets its front-ends, one at a time.
//
//     idle --- a front-end connects ---> serving --- it goes away, or errs ---> idle
//
// A front-end that is served has a thread of its own (FrontEndThread.swift). All else here belongs to the main thread,
// which only waits for that thread when the server ends.
//
// While one is served nothing is accepted, so a second front-end waits in the listening socket's backlog
// until the first is gone. That is said once for each that is served.

import Backends
import Linux
import Logging

/// A device at a socket.
final class Endpoint {
  /// How long to wait before something that failed is tried again, in nanoseconds.
  private static let retryInterval: UInt64 = 1_000_000_000

  let number: Int
  let device: any Device
  private let location: FrontEndLocation
  private let once: Bool
  private let offeredProtocolFeatures: ProtocolFeatures
  private let log: EndpointLog
  private let inbox: EventInbox<ServerEvent>
  private let trace: DriverTrace
  private let witness: ServerWitness
  /// Where front-ends connect; nil where we connect, or have but one connection.
  private var listener: FileDescriptor?
  /// The socket file that is ours to remove.
  private(set) var ownedSocket: OwnedSocket?
  /// Whether it was said that the socket is gone.
  private var isLossReported = false
  /// Whether it was said that another front-end waits for the present one to go.
  private var isWaiterReported = false
  /// A connection that was there when the endpoint was made, until it is served.
  private var adopted: FileDescriptor?
  /// The thread that serves a front-end, while there is one, and what it is told by.
  private var serving: WorkerThread<Bool>?
  private var session: EventInbox<SessionEvent>?
  /// Nothing is accepted or connected to before this moment.
  private var idleUntil: UInt64 = 0
  /// Why there is no front-end, once that was said.
  private var absence: Errno?
  /// There will be no more front-end.
  private(set) var isDone = false

  /// - Parameters:
  ///   - once: whether one front-end is enough; one that has sent nothing does not count.
  ///   - protocolFeatures: what front-ends are offered.
  init(
    number: Int, device: any Device, location: FrontEndLocation, once: Bool,
    offering protocolFeatures: ProtocolFeatures, logger: Logger,
    inbox: EventInbox<ServerEvent>,
    witness: ServerWitness
  ) throws(DeviceError) {
    self.number = number
    self.device = device
    self.location = location
    self.once = once
    offeredProtocolFeatures = protocolFeatures
    log = EndpointLog(device.name, logger)
    self.inbox = inbox
    self.witness = witness
    trace = DriverTrace(ringCount: device.queueSizes.count)
    switch location {
    case .listen(let path, let access): try listen(path, access)
    case .connect: break
    case .descriptor(let descriptor): try adopt(FileDescriptor(owning: descriptor))
    }
  }

  // MARK: Places

  private func listen(_ path: String, _ access: SocketAccess) throws(DeviceError) {
    let action = "listen on \(path)"
    let state: UnixSocket.PathState
    do {
      state = try UnixSocket.state(of: path)
    } catch {
      throw DeviceError(action, error)
    }
    switch state {
    case .free, .stale: break
    case .live: throw DeviceError(action, "another process listens there; end it first")
    case .notASocket:
      throw DeviceError(action, "a file that is no socket is there; remove it first")
    }
    do {
      if state == .stale { try FileSystem.remove(path) }
      listener = try UnixSocket.listen(path, mode: access.mode)
      let socket = try OwnedSocket(path)
      ownedSocket = socket
      witness.add(socket)
      if let group = access.group { try FileSystem.setGroup(of: path, to: group) }
    } catch {
      ownedSocket?.remove()
      throw DeviceError(action, error)
    }
  }

  private func adopt(_ socket: consuming FileDescriptor) throws(DeviceError) {
    let action = "use file descriptor \(socket.raw)"
    do throws(Errno) {
      if try socket.isListening() {
        try socket.setNonBlocking(true)
        listener = consume socket
      } else {
        adopted = consume socket
      }
    } catch {
      throw DeviceError(action, error)
    }
  }

  // MARK: The loop's view

  /// Counters of the endpoint's life.
  var statistics: EndpointStatistics { log.statistics }

  /// Whether a front-end is served.
  var isServing: Bool { session != nil }

  /// What to wait for; ignored while there is nothing.
  var pollEntry: PollEntry {
    guard !isServing, idleUntil == 0, !isDone else { return .ignored }
    switch listener {
    case .some(let listener): return PollEntry(fd: listener.raw, events: .readable)
    case .none: return .ignored
    }
  }

  /// When to call `progress` though nothing is ready; nil for never.
  var deadline: UInt64? {
    if isServing || isDone { return nil }
    if idleUntil != 0 { return idleUntil }
    if adopted != nil { return 0 }
    if case .connect = location { return 0 }
    return nil
  }

  /// Goes on: something is ready, or the deadline has passed.
  func progress() {
    guard !isServing, !isDone, idleUntil <= MonotonicClock.nanoseconds else { return }
    idleUntil = 0
    meet()
  }

  /// Accepts or connects.
  private func meet() {
    if let socket = adopted.take() { return begin(socket) }
    do throws(Errno) {
      switch listener {
      case .some(let listener):
        guard let socket = try UnixSocket.accept(on: listener, nonBlocking: true) else { return }
        begin(socket)
      case .none:
        guard case .connect(let path) = location else { return }
        begin(try UnixSocket.connect(path, nonBlocking: true))
      }
    } catch {
      idleUntil = MonotonicClock.nanoseconds + Self.retryInterval
      reportAbsence(error)
    }
  }

  /// Says once that there is no front-end, and again only where the reason is another one.
  private func reportAbsence(_ error: Errno) {
    guard absence != error else { return }
    absence = error
    var place = ""
    if case .connect(let path) = location { place = " at \(path)" }
    log.trouble("no front-end\(place): \(error); trying again every second")
  }

  /// Says once that another front-end has connected and must wait.
  func checkBacklog() {
    guard isServing, !isWaiterReported, hasWaiter else { return }
    isWaiterReported = true
    log.waits()
  }

  private var hasWaiter: Bool {
    switch listener {
    case .some(let listener):
      (try? Poll.wait(for: .readable, on: listener, timeout: .zero)).map { !$0.isEmpty } ?? false
    case .none: false
    }
  }

  /// Says once that the socket's path does not lead here any more.
  func checkPlace() {
    guard let ownedSocket, !isDone, !isLossReported, !ownedSocket.isInPlace else { return }
    isLossReported = true
    log.trouble(
      "somebody has removed \(ownedSocket.path): no other front-end can connect until lgdev is started"
        + " anew")
  }

  private func begin(_ socket: consuming FileDescriptor) {
    absence = nil
    isWaiterReported = false
    log.connected()
    do throws(Errno) {
      let session = try EventInbox<SessionEvent>()
      let state = FrontEndThread(
        socket: socket, device: device, offeredProtocolFeatures: offeredProtocolFeatures,
        trace: trace, inbox: session, log: log, witness: witness)
      let (inbox, number) = (inbox, number)
      serving = try WorkerThread.start(name: device.name, state: state) { state in
        let hasServed = state.run()
        inbox.post(.frontEndGone(endpoint: number))
        return hasServed
      }
      self.session = session
    } catch {
      log.ended(.host(DeviceError("start a thread for a front-end", error)))
      idleUntil = MonotonicClock.nanoseconds + Self.retryInterval
    }
  }

  /// The front-end is gone, and its thread has nothing left to do.
  func frontEndGone() {
    guard let serving = serving.take() else { return }
    let hasServed = serving.join()
    session = nil
    isDone = isDone || once && hasServed
    switch location {
    case .listen: break
    // At once would be as fast as the processor allows if the front-end accepts and closes.
    case .connect: idleUntil = MonotonicClock.nanoseconds + Self.retryInterval
    case .descriptor: isDone = isDone || listener == nil
    }
  }

  /// Shared memory has gone away somewhere: a session whose own it was ends.
  func checkMemory() { session?.post(.checkMemory) }

  /// Lets the session begin to end; `close()` must follow.
  func requestClose() { session?.post(.stop) }

  /// Stops serving for good, and removes what was made. It waits for the requests in flight.
  func close() {
    requestClose()
    frontEndGone()
    adopted = nil
    listener = nil
    isDone = true
    ownedSocket?.remove()
  }
}
