// SPDX-License-Identifier: Apache-2.0
//
// Endpoint: a device and the place where it meets its front-ends, one at a time.
//
//     idle --- a front-end connects ---> serving --- it goes away, or errs ---> idle
//
// While one is served nothing is accepted, so a second front-end waits in the listening socket's backlog
// until the first is gone. That is said once for each that is served.

import Backends
import Linux
import Logging
import VirtioRing

/// A device at a socket.
final class Endpoint {
  /// How long to wait before something that failed is tried again, in nanoseconds.
  private static let retryInterval: UInt64 = 1_000_000_000

  let number: Int
  let device: any Device
  private let location: FrontEndLocation
  private let once: Bool
  private let offeredProtocolFeatures: ProtocolFeatures
  private let logger: Logger
  private let inbox: EventInbox
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
  private(set) var connection: Connection?
  /// Nothing is accepted or connected to before this moment.
  private var idleUntil: UInt64 = 0
  /// Why there is no front-end, once that was said.
  private var absence: Errno?
  /// There will be no more front-end.
  private(set) var isDone = false
  private var lifeLines = LineLimiter(burst: 10)
  private var errorLines = LineLimiter()
  private var faultLines = LineLimiter()
  private var refusalLines = LineLimiter()

  /// Counters of the endpoint's life.
  private(set) var statistics = EndpointStatistics()

  /// - Parameters:
  ///   - once: whether one front-end is enough; one that has sent nothing does not count.
  ///   - protocolFeatures: what front-ends are offered.
  init(
    number: Int, device: any Device, location: FrontEndLocation, once: Bool,
    offering protocolFeatures: ProtocolFeatures, logger: Logger, inbox: EventInbox,
    witness: ServerWitness
  ) throws(DeviceError) {
    self.number = number
    self.device = device
    self.location = location
    self.once = once
    offeredProtocolFeatures = protocolFeatures
    self.logger = logger
    self.inbox = inbox
    self.witness = witness
    trace = DriverTrace(ringCount: device.queueSizes.count)
    switch location {
    case .listen(let path, let access): try listen(path, access)
    case .connect: break
    case .descriptor(let descriptor): try adopt(FileDescriptor(owning: descriptor))
    }
    device.configurationChange.observe { inbox.post(.configurationChange(endpoint: number)) }
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
        begin(socket)
      }
    } catch {
      throw DeviceError(action, error)
    }
  }

  // MARK: The loop's view

  /// What to wait for; ignored while there is nothing.
  var pollEntry: PollEntry {
    if let connection { return connection.pollEntry }
    guard idleUntil == 0, !isDone else { return .ignored }
    switch listener {
    case .some(let listener): return PollEntry(fd: listener.raw, events: .readable)
    case .none: return .ignored
    }
  }

  /// What to wait for besides, to call `flushChannel`; ignored while there is nothing.
  var channelEntry: PollEntry { connection?.session.channel?.pollEntry ?? .ignored }

  /// Sends what the front-end had no room for.
  func flushChannel() { connection?.session.channel?.flush() }

  /// When to call `progress` though nothing is ready; nil for never.
  var deadline: UInt64? {
    if connection != nil || isDone { return nil }
    if idleUntil != 0 { return idleUntil }
    if case .connect = location { return 0 }
    return nil
  }

  /// Goes on: something is ready, or the deadline has passed.
  func progress() {
    if let connection {
      witness.busy(with: device.name) { serve(connection) }
    } else if idleUntil <= MonotonicClock.nanoseconds {
      idleUntil = 0
      meet()
    }
  }

  /// Accepts or connects.
  private func meet() {
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
    errorLines.log(
      .warning, "\(device.name): no front-end\(place): \(error); trying again every second",
      to: logger)
  }

  /// Says once that another front-end has connected and must wait.
  func checkBacklog() {
    guard connection != nil, !isWaiterReported, hasWaiter else { return }
    isWaiterReported = true
    lifeLines.log(
      .warning, "\(device.name): another front-end waits: one is served at a time", to: logger)
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
    errorLines.log(
      .warning,
      "\(device.name): somebody has removed \(ownedSocket.path): no other front-end can connect until"
        + " lgdev is started anew", to: logger)
  }

  private func begin(_ socket: consuming FileDescriptor) {
    absence = nil
    isWaiterReported = false
    statistics.sessions += 1
    let session = Session(
      device: device, offering: offeredProtocolFeatures, trace: trace,
      number: UInt64(number) << 40 | statistics.sessions, inbox: inbox)
    connection = Connection(socket, session: session)
    lifeLines.log(.info, "\(device.name): front-end connected", to: logger)
  }

  // MARK: Serving

  private func serve(_ connection: Connection) {
    do {
      try connection.serve { refusal in
        statistics.refusals += 1
        refusalLines.log(.warning, "\(device.name): refused: \(refusal)", to: logger)
      }
    } catch {
      end(error)
      return
    }
    reportFaults(of: connection.session)
  }

  /// Logs what rings did wrong.
  private func reportFaults(of session: Session) {
    for fault in session.takeFaults() {
      statistics.faults += 1
      faultLines.log(.warning, "\(device.name): \(fault.line)", to: logger)
    }
  }

  /// Ends the session: nothing of it is left but what the device knows of its driver.
  private func end(_ reason: SessionError) {
    guard let connection else { return }
    reportFaults(of: connection.session)
    if case .hangup = reason {
      lifeLines.log(.info, "\(device.name): \(reason)", to: logger)
    } else {
      statistics.errors += 1
      errorLines.log(.error, "\(device.name): connection dropped: \(reason)", to: logger)
    }
    connection.session.end()
    self.connection = nil
    isDone = once && connection.hasServed
    switch location {
    case .listen: break
    // At once would be as fast as the processor allows if the front-end accepts and closes.
    case .connect: idleUntil = MonotonicClock.nanoseconds + Self.retryInterval
    case .descriptor: isDone = isDone || listener == nil
    }
  }

  /// Shared memory may have gone away: then the session ends.
  func checkMemory() {
    guard let connection, connection.session.memory.hasVanished else { return }
    witness.busy(with: device.name) { end(.memoryVanished) }
  }

  /// A worker's note. One of a run that is over concerns nobody any more.
  func queueFaulted(_ queue: Int, run: UInt64, _ error: RingError) {
    guard let session = connection?.session else { return }
    let ring = session.rings[queue]
    guard ring.isRunning, ring.run == run else { return }
    session.ringFaulted(ring, .ring(error))
    reportFaults(of: session)
  }

  /// Stops serving for good, and removes what was made.
  func close() {
    device.configurationChange.observe(nil)
    if let connection {
      witness.busy(with: device.name) { connection.session.end() }
      self.connection = nil
    }
    listener = nil
    isDone = true
    ownedSocket?.remove()
  }
}

/// What has happened at an endpoint since it was added.
public struct EndpointStatistics: Sendable, Equatable {
  /// Front-ends that connected.
  public internal(set) var sessions: UInt64 = 0
  /// Sessions that ended with an error.
  public internal(set) var errors: UInt64 = 0
  /// Requests that were refused with a reply.
  public internal(set) var refusals: UInt64 = 0
  /// Rings that were broken by their driver or could not start.
  public internal(set) var faults: UInt64 = 0

  /// Nothing has happened yet.
  public init() {}
}
