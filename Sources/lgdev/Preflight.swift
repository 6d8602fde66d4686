// SPDX-License-Identifier: Apache-2.0
//
// Preflight: finds what would go wrong on this host before anything is made.
//
// It only looks. Whatever changes between the look and the deed is found by the deed, which is then
// undone; so these checks are for the user, and nothing relies on them.

import Backends
import LguestTransport
import Linux
import VhostUserTransport

enum Preflight {
  /// Checks a plan. It must run before this process opens any descriptor: else a wrong number on the
  /// command line could name one of its own.
  ///
  /// - Returns: who may connect to the sockets.
  static func check(_ plan: ServePlan) throws(HostError) -> SocketAccess {
    for entry in plan.entries {
      if case .inherited(let descriptor) = entry.endpoint {
        try checkInherited(descriptor, "--fd \(descriptor)", isSocket: true)
      }
      try checkInherited(entry.device, entry.name)
    }
    let access = SocketAccess(mode: plan.socketMode, group: try groupNumber(plan.socketGroup))
    for entry in plan.entries {
      if case .listen(let path) = entry.endpoint { try checkSocket(path, entry.name) }
      if case .console(let console) = entry.device { try check(console, entry.name) }
    }
    if let path = plan.pidfile { try PidFile.check(path) }
    return access
  }

  /// Checks a plan for guests; as early as the other one.
  static func check(_ plan: FleetPlan) throws(HostError) {
    let (limit, count) = (Process.descriptorLimit, plan.descriptorCount)
    guard limit >= count else {
      throw HostError(
        "this takes about \(count) open files, and the limit is \(limit); raise it (ulimit -n, or nofile in "
          + "/etc/security/limits.conf)")
    }
    for guest in plan.guests {
      try plan.naming(guest) { () throws(HostError) in
        for entry in guest.devices { try checkInherited(entry.device, entry.name) }
        do throws(LguestError) {
          try RunningGuest.check(guest.guest, devices: [])
        } catch {
          throw HostError(error.description)
        }
        for entry in guest.devices {
          if case .console(let console) = entry.device { try check(console, entry.name) }
        }
      }
    }
    if let path = plan.pidfile { try PidFile.check(path) }
  }

  /// Checks what guests run on. What the user has named is told before what his machine lacks: a wrong path is mended
  /// sooner than a module is built and loaded. So this comes after the disks were opened, but before a tap is made.
  static func checkHost(
    _ plan: FleetPlan, _ openPort: GuestDaemon.Opener
  ) throws(HostError) {
    for guest in plan.guests {
      try plan.naming(guest) { () throws(HostError) in
        do throws(LguestError) {
          try RunningGuest.check { () throws(LguestError) in try openPort(guest.name) }
        } catch {
          throw HostError(error.description)
        }
      }
    }
  }

  private static func checkInherited(
    _ device: DeviceArgument, _ name: String
  ) throws(HostError) {
    guard case .net(let net) = device, case .fd(let descriptor) = net.tap else { return }
    try checkInherited(descriptor, "\(name): fd=\(descriptor)", isSocket: false)
  }

  private static func groupNumber(_ name: String?) throws(HostError) -> UInt32? {
    guard let name else { return nil }
    guard let number = UserGroup.number(named: name) else {
      throw HostError("--socket-group \(name): there is no such group; see getent group")
    }
    return number
  }

  private static func checkInherited(
    _ descriptor: Int32, _ purpose: String, isSocket: Bool
  ) throws(HostError) {
    let status: FileStatus
    do throws(Errno) {
      status = try FileDescriptor.duplicating(descriptor).status()
    } catch {
      throw HostError("\(purpose): it is not open; have the parent process pass it on")
    }
    guard !isSocket || status.kind == .socket else {
      throw HostError("\(purpose): it is open, but no socket")
    }
  }

  private static func checkSocket(_ path: String, _ name: String) throws(HostError) {
    try Directory.check(holding: path, for: name)
    let state: UnixSocket.PathState
    do throws(Errno) {
      state = try UnixSocket.state(of: path)
    } catch {
      throw HostError("\(name): \(path): \(error)")
    }
    switch state {
    case .free, .stale: return
    case .live:
      throw HostError("\(name): another process listens on \(path); end it, or choose another path")
    case .notASocket:
      throw HostError("\(name): \(path) is there and is no socket; remove it first")
    }
  }

  private static func check(_ console: ConsoleArgument, _ name: String) throws(HostError) {
    switch console.end {
    case .stdio, .pty(link: nil): return
    case .socket(let path): try checkSocket(path, name)
    case .file(let path), .pty(link: .some(let path)):
      try Directory.check(holding: path, for: name)
    }
  }
}
