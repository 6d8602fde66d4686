// SPDX-License-Identifier: Apache-2.0

import Linux

/// What became of output.
enum Sent {
  /// So many bytes went, from the start.
  case taken(Int)
  /// So many bytes cannot go and never will.
  case lost(Int)
  /// Nothing goes now: there is no room, or nobody there any more.
  case nothing
}

/// The host's end of a console, owned by the console's thread (see ConsoleHost.swift). Nothing here
/// waits.
protocol HostEnd: ~Copyable, Sendable {
  /// What to wait for before `receive`; `.none` where nothing will ever come.
  var arrivals: WakeSource { get }

  /// Whether somebody is there who may send input. Where nobody is, `arrivals` tells of somebody.
  var isAttended: Bool { get }

  /// Becomes writable when output can go; -1 where nobody is there to read it.
  var outlet: Int32 { get }

  /// Reports a hang-up, which polling does without an event, when whoever is there has left; -1 where
  /// nobody needs to leave before another can come.
  var presence: Int32 { get }

  /// Whether input is read even while the guest takes none, because keys mean something to the host, too.
  static var watchesKeys: Bool { get }

  /// How often to look for somebody where nothing tells of them; nil where something does.
  var lookInterval: Duration? { get }

  /// Takes what has come, and finds out who came and who left.
  ///
  /// - Parameters:
  ///   - buffer: is filled from its start.
  ///   - hasRoom: false where no input can be taken now, only who came is of interest.
  /// - Returns: how many bytes.
  mutating func receive(into buffer: inout [UInt8], hasRoom: Bool) -> Int

  /// Passes on the part of an array that `range` names.
  mutating func send(_ bytes: [UInt8], _ range: Range<Int>) -> Sent

  /// Whoever is there has left: throws away what they have sent and makes room for the next.
  ///
  /// - Returns: how many bytes were thrown away.
  mutating func forget() -> Int

  /// Leaves nothing behind: names, terminal settings.
  mutating func close()
}

extension HostEnd where Self: ~Copyable {
  var lookInterval: Duration? { nil }
  var presence: Int32 { -1 }
  mutating func forget() -> Int { 0 }
}

extension DeviceError {
  /// Does something that the system may refuse; the error then names the action.
  static func naming<Value: ~Copyable>(
    _ action: String, _ body: () throws(Errno) -> Value
  ) throws(DeviceError) -> Value {
    do throws(Errno) {
      return try body()
    } catch {
      throw DeviceError(action, error)
    }
  }
}
