// SPDX-License-Identifier: Apache-2.0

public import Linux

/// How a guest ended.
public enum GuestEnd: Sendable, Equatable {
  /// It switched itself off.
  case poweredOff
  /// It died: why, in its own words or in the host's.
  case died(String)
  /// Somebody here wanted the end.
  case stopped
  /// It could not be started, or started again.
  case notStarted(LguestError)
  /// The host has given up running it.
  case failed(Errno)
}

extension GuestEnd: CustomStringConvertible {
  /// One line.
  public var description: String {
    switch self {
    case .poweredOff: "the guest has switched itself off"
    case .died(let reason): reason
    case .stopped: "the guest was stopped"
    case .notStarted(let error): error.description
    case .failed(let errno): "the host does not run the guest any more: \(errno)"
    }
  }
}
