// SPDX-License-Identifier: Apache-2.0
//
// VhostUserServer: the main thread of a process that serves devices over vhost-user.
//
// It makes sockets and accepts, and gives each front-end a thread of its own, which negotiates, and starts and
// stops the queues' workers (FrontEndThread.swift). A device without a front-end has no thread. It waits in one
// poll for all listening sockets, for notes in the inbox, and for descriptors that the program adds, such as
// its signalfd. The list of what to wait for is made anew for each wait from the state of the endpoints, so it
// can never be out of step with them; there is one for each device, and waits are rare.
//
// It waits for nobody but at the end, for the threads of front-ends, and they for requests in flight. Who must
// not wait for ever asks `witness` from another thread.

public import Backends
public import Linux
public import Logging

/// Serves any number of devices to vhost-user front-ends, each at a place of its own.
///
/// It belongs to the thread that calls `run()`; only `Stopper` and `witness` may be used from others.
public final class VhostUserServer {
  /// How often memory is looked at for having vanished, and sockets for others who wait, while there are
  /// sessions.
  private static let checkInterval = Duration.seconds(1)

  private let logger: Logger
  private let once: Bool
  private let offeredProtocolFeatures: ProtocolFeatures
  private let inbox: EventInbox<ServerEvent>
  /// What other threads may know of this server.
  public let witness = ServerWitness()
  private var endpoints: [Endpoint] = []
  /// How many endpoints there were: a note to one that is gone is for nobody.
  private var endpointCount = 0
  /// Hears that sockets lose their names; nil where the system refuses that.
  private let places: FileWatch?
  /// When sockets are looked at again for front-ends that wait.
  private var nextCheck: UInt64 = 0
  private var sources: [(descriptor: Int32, handler: () -> Void)] = []
  private var isStopping = false
  private var containedFaults = SharedMapping.containedFaultCount

  /// Makes a server without devices.
  ///
  /// - Parameters:
  ///   - logger: gets a line for each front-end that comes and goes, and at most one a second for each
  ///     device for what front-ends and guests do wrong.
  ///   - once: whether a device is done when its first front-end has gone.
  ///   - inBandNotifications: whether kicks and calls as messages (INBAND_NOTIFICATIONS) are offered, for
  ///     front-ends that cannot use descriptors: they are far slower.
  /// - Throws: what the system refused.
  public init(
    logger: Logger, once: Bool = false, inBandNotifications: Bool = false
  ) throws(Errno) {
    self.logger = logger
    self.once = once
    offeredProtocolFeatures = inBandNotifications ? .offered.union(.inBandNotifications) : .offered
    inbox = try EventInbox()
    places = try? FileWatch()
  }

  /// Adds a device. A socket to listen on is made at once.
  ///
  /// - Throws: why there can be no socket there.
  public func add(_ device: any Device, at location: FrontEndLocation) throws(DeviceError) {
    let endpoint = try Endpoint(
      number: endpointCount, device: device, location: location, once: once,
      offering: offeredProtocolFeatures, logger: logger, inbox: inbox, witness: witness)
    endpointCount += 1
    endpoints.append(endpoint)
    if let socket = endpoint.ownedSocket { try? places?.add(socket.path, for: .renamed) }
  }

  /// Waits for a descriptor as well, such as a signalfd.
  ///
  /// - Parameters:
  ///   - descriptor: the caller keeps it open while the server runs.
  ///   - handler: called when it is readable, on the thread of `run()`.
  public func watch(_ descriptor: Int32, handler: @escaping () -> Void) {
    sources.append((descriptor, handler))
  }

  /// Makes `run()` return, from any thread.
  public struct Stopper: Sendable {
    fileprivate let inbox: EventInbox<ServerEvent>

    /// Asks for the end. `run()` returns as soon as it is back from what it does.
    public func requestStop() { inbox.post(.stop) }
  }

  /// What ends `run()` from elsewhere.
  public var stopper: Stopper { Stopper(inbox: inbox) }

  /// Ends `run()`; for handlers of watched descriptors.
  public func requestStop() { isStopping = true }

  /// Serves until asked to stop, or until every device is done. Front-ends that are there go on being served
  /// until `shutdown()`.
  ///
  /// SIGPIPE is ignored in the whole process from now on: front-ends hand over pipes and sockets, and
  /// go away.
  /// - Throws: what the system refused; nothing of it is a front-end's doing.
  public func run() throws(Errno) {
    Signal.pipe.ignore()
    while !isStopping, endpoints.contains(where: { !$0.isDone }) {
      try turn()
    }
    isStopping = false
  }

  /// Waits once and does what there is to do.
  private func turn() throws(Errno) {
    var entries = [
      PollEntry(fd: inbox.descriptor, events: .readable),
      PollEntry(fd: placesDescriptor, events: .readable),
    ]
    entries += sources.map { PollEntry(fd: $0.descriptor, events: .readable) }
    entries += endpoints.map(\.pollEntry)
    var span = entries.mutableSpan
    _ = try Poll.wait(&span, timeout: timeout)

    if entries[0].isReady { readInbox() }
    if entries[1].isReady { checkPlaces() }
    for (source, entry) in zip(sources, entries.dropFirst(2)) where entry.isReady {
      source.handler()
    }
    let now = MonotonicClock.nanoseconds
    let ownEntries = entries.dropFirst(2 + sources.count)
    for (endpoint, entry) in zip(endpoints, ownEntries) {
      if entry.isReady || endpoint.deadline.map({ $0 <= now }) ?? false { endpoint.progress() }
    }
    // The count is of the whole process and one load; only where it moved are mappings asked.
    let faults = SharedMapping.containedFaultCount
    if faults != containedFaults {
      containedFaults = faults
      for endpoint in endpoints { endpoint.checkMemory() }
    }
    if nextCheck <= now {
      nextCheck = now + UInt64(Self.checkInterval / .nanoseconds(1))
      for endpoint in endpoints { endpoint.checkBacklog() }
    }
  }

  private var placesDescriptor: Int32 {
    switch places {
    case .some(let places): places.descriptor.raw
    case .none: -1
    }
  }

  private func checkPlaces() {
    places?.drain()
    for endpoint in endpoints { endpoint.checkPlace() }
  }

  private var timeout: Duration? {
    var timeout: Duration?
    if endpoints.contains(where: \.isServing) { timeout = Self.checkInterval }
    guard let deadline = endpoints.compactMap(\.deadline).min() else { return timeout }
    let now = MonotonicClock.nanoseconds
    let left = Duration.nanoseconds(deadline > now ? Int64(deadline - now) : 0)
    return timeout.map { min($0, left) } ?? left
  }

  private func readInbox() {
    for event in inbox.take() {
      switch event {
      case .stop: isStopping = true
      case .frontEndGone(let number):
        endpoints.first { $0.number == number }?.frontEndGone()
      }
    }
  }

  /// Ends all sessions: requests in flight are finished, queues stopped, sockets removed. Devices keep
  /// what they know of their drivers, and can be used again elsewhere. So can the server: it is as it was made.
  public func shutdown() {
    for endpoint in endpoints { endpoint.requestClose() }
    for endpoint in endpoints { endpoint.close() }
    endpoints = []
    sources = []
    // Notes to what is gone now.
    _ = inbox.take()
  }

  /// What has happened so far, device by device, in the order in which they were added.
  public var statistics: [EndpointStatistics] { endpoints.map(\.statistics) }
}
