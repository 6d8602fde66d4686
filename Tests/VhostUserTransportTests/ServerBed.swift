// SPDX-License-Identifier: Apache-2.0
//
// ServerBed: a server on a thread of its own, with a socket in a directory of its own.

import Backends
import HostTesting
import Linux
import Logging
import Synchronization
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

/// Log lines of a server.
final class LogLines: Sendable {
  private let lines = Mutex<[String]>([])

  var all: [String] { lines.withLock { $0 } }

  func append(_ line: String) { lines.withLock { $0.append(line) } }

  /// Whether a line says this, now or soon: a line can be later than what it is about.
  func contains(_ text: String) -> Bool {
    eventually { all.contains { $0.contains(text) } }
  }

  var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

  private struct Handler: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.append("\(event.level) \(event.message)") }
  }
}

/// A server that runs on its own thread until `stop()`.
final class ServerBed {
  let directory: TemporaryDirectory
  let devices: [any Device]
  let lines: LogLines
  private var thread: WorkerThread<Bool>?
  private let started: Started

  private struct Job: Sendable {
    let devices: [any Device]
    let locations: [FrontEndLocation]
    let once: Bool
    let inBand: Bool
    let logger: Logger
    let started: Started
  }

  /// What the server's thread leaves for the test.
  private final class Started: Sendable {
    let stopper = Mutex<VhostUserServer.Stopper?>(nil)
    let witness = Mutex<ServerWitness?>(nil)
    let failure = Mutex<(any Error)?>(nil)
    let statistics = Mutex<[EndpointStatistics]>([])
    let bell: EventFD

    init() throws { bell = try EventFD(nonBlocking: false) }
  }

  /// Serves devices at `dev0.sock`, `dev1.sock`, … in a new directory, or at given places.
  init(
    _ devices: [any Device], at locations: [FrontEndLocation]? = nil,
    in directory: TemporaryDirectory? = nil, once: Bool = false, inBand: Bool = false
  ) throws {
    let directory = try directory ?? TemporaryDirectory()
    let places =
      locations ?? devices.indices.map { .listen(directory.file("dev\($0).sock")) }
    self.directory = directory
    self.devices = devices
    lines = LogLines()
    started = try Started()
    let job = Job(
      devices: devices, locations: places, once: once, inBand: inBand, logger: lines.logger,
      started: started)
    thread = try WorkerThread.start(name: "server", state: job) { Self.serve($0) }
    started.bell.drain()
    if let failure = started.failure.withLock({ $0 }) {
      _ = thread.take()?.join()
      throw failure
    }
  }

  /// The server's thread. - Returns: whether `run` ended as it should.
  private static func serve(_ job: Job) -> Bool {
    do {
      let server = try VhostUserServer(
        logger: job.logger, once: job.once, inBandNotifications: job.inBand)
      defer { server.shutdown() }
      do {
        for (device, location) in zip(job.devices, job.locations) {
          try server.add(device, at: location)
        }
      } catch {
        job.started.failure.withLock { $0 = error }
        job.started.bell.signal()
        return false
      }
      job.started.stopper.withLock { $0 = server.stopper }
      job.started.witness.withLock { $0 = server.witness }
      job.started.bell.signal()
      try server.run()
      job.started.statistics.withLock { $0 = server.statistics }
      return true
    } catch {
      job.started.failure.withLock { $0 = error }
      job.started.bell.signal()
      return false
    }
  }

  /// The path of a device's socket.
  func path(_ index: Int = 0) -> String { directory.file("dev\(index).sock") }

  /// What the server had counted when it ended.
  var statistics: [EndpointStatistics] { started.statistics.withLock { $0 } }

  /// What the server shows to others while it runs.
  var witness: ServerWitness? { started.witness.withLock { $0 } }

  /// Connects an honest front-end.
  func frontEnd(_ index: Int = 0) throws -> FrontEnd { try FrontEnd(connectingTo: path(index)) }

  /// Connects a front-end without manners.
  func rawFrontEnd(_ index: Int = 0) throws -> RawFrontEnd {
    try RawFrontEnd(connectingTo: path(index))
  }

  /// Waits until the server has ended by itself. - Returns: whether it ended as it should.
  func waitForEnd() -> Bool { thread.take()?.join() ?? false }

  /// Ends the server. - Returns: whether it ended as it should.
  @discardableResult
  func stop() -> Bool {
    started.stopper.withLock { $0 }?.requestStop()
    return thread.take()?.join() ?? false
  }

  deinit { stop() }
}

/// A descriptor that can be optional in a class.
private final class Wire {
  let descriptor: FileDescriptor

  init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
}

/// A front-end with a ring of an echo device. A class, so that `#expect` can take calls of it.
final class EchoClient {
  let frontEnd: FrontEnd
  var ring: FrontEndRing
  /// What is woken and waited for in place of the ring's own eventfds.
  private var kick: Wire?
  private var call: Wire?

  /// Brings a ring up.
  init(
    _ frontEnd: FrontEnd, _ features: Features = .allRing, queue: Int = 0, base: UInt32? = nil
  ) throws {
    self.frontEnd = frontEnd
    try frontEnd.negotiate(features)
    try frontEnd.shareMemory()
    ring = try frontEnd.makeRing(queue, size: 64)
    try frontEnd.startRing(ring, base: base)
  }

  /// Takes over a ring that runs.
  init(_ frontEnd: FrontEnd, running ring: consuming FrontEndRing) {
    self.frontEnd = frontEnd
    self.ring = ring
  }

  /// Kicks go to this descriptor.
  func kicksThrough(_ descriptor: consuming FileDescriptor) {
    kick = Wire(descriptor)
  }

  /// Calls come through this descriptor.
  func callsThrough(_ descriptor: consuming FileDescriptor) {
    call = Wire(descriptor)
  }

  /// Sends bytes through the ring. - Returns: what came back.
  func echo(_ bytes: [UInt8]) throws -> [UInt8] {
    let target = try offer(bytes)
    try kick?.descriptor.sendWakeup()
    let used: UsedChain
    if call != nil {
      used = try collectThroughDescriptor()
    } else {
      used = try ring.collect()
    }
    return frontEnd.memory.memory.bytes(at: target, count: Int(used.written))
  }

  /// Sends bytes through the ring and never looks at the call.
  func echoPolling(_ bytes: [UInt8]) throws {
    _ = try offer(bytes)
    _ = ring.driver.allowCalls()
    guard try eventually({ try ring.driver.collect() != nil }) else {
      throw FrontEndError.timeout
    }
  }

  /// Makes any chain available. - Returns: whether there was room.
  func offer(_ buffers: [DriverBuffer]) -> Bool { ring.offer(buffers) }

  /// Makes one request available.
  func offerOne() throws { _ = try offer([1]) }

  /// - Returns: where the answer will be.
  private func offer(_ bytes: [UInt8]) throws -> UInt64 {
    // One request at a time: the addresses are used again.
    let space = frontEnd.space
    defer { frontEnd.space = space }
    let source = frontEnd.space.take(UInt64(bytes.count))
    let target = frontEnd.space.take(UInt64(bytes.count))
    frontEnd.memory.memory.write(bytes, at: source)
    guard
      ring.offer([
        .readable(source, UInt32(bytes.count)), .writable(target, UInt32(bytes.count)),
      ])
    else { throw FrontEndError.badRing }
    return target
  }

  private func collectThroughDescriptor() throws -> UsedChain {
    while true {
      if let used = try ring.driver.collect() { return used }
      if ring.driver.allowCalls() { continue }
      guard let call else { throw FrontEndError.closed }
      let found = try Poll.wait(
        for: .readable, on: call.descriptor, timeout: ring.patience)
      guard !found.isEmpty else { throw FrontEndError.timeout }
      _ = try call.descriptor.consumeWakeups()
    }
  }
}
