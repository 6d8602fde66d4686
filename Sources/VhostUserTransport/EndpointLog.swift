// SPDX-License-Identifier: Apache-2.0

import Linux
import Logging
import Synchronization

/// What happens at an endpoint, counted and written to the log at a limited rate. From any thread.
final class EndpointLog: Sendable {
  private struct State {
    var life = LineLimiter(burst: 10)
    var errors = LineLimiter()
    var faults = LineLimiter()
    var refusals = LineLimiter()
    var statistics = EndpointStatistics()
  }

  private let name: String
  private let logger: Logger
  private let state = Mutex(State())

  /// - Parameter name: the device's, with which each line begins.
  init(_ name: String, _ logger: Logger) {
    self.name = name
    self.logger = logger
  }

  /// What was counted.
  var statistics: EndpointStatistics { state.withLock { $0.statistics } }

  /// A front-end has connected.
  func connected() {
    state.withLock { state in
      state.statistics.sessions += 1
      state.life.log(.info, "\(name): front-end connected", to: logger)
    }
  }

  /// A session has ended.
  func ended(_ reason: SessionError) {
    state.withLock { state in
      if case .hangup = reason {
        state.life.log(.info, "\(name): \(reason)", to: logger)
      } else {
        state.statistics.errors += 1
        state.errors.log(.error, "\(name): connection dropped: \(reason)", to: logger)
      }
    }
  }

  /// A request was refused.
  func refused(_ refusal: SessionError) {
    state.withLock { state in
      state.statistics.refusals += 1
      state.refusals.log(.warning, "\(name): refused: \(refusal)", to: logger)
    }
  }

  /// A ring does not run.
  func faulted(_ fault: RingFault) {
    state.withLock { state in
      state.statistics.faults += 1
      state.faults.log(.warning, "\(name): \(fault.line)", to: logger)
    }
  }

  /// Another front-end waits.
  func waits() {
    state.withLock {
      $0.life.log(
        .warning, "\(name): another front-end waits: one is served at a time", to: logger)
    }
  }

  /// Something keeps front-ends away.
  func trouble(_ line: String) {
    state.withLock { $0.errors.log(.warning, "\(name): \(line)", to: logger) }
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
