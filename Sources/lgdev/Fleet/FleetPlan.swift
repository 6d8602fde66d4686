// SPDX-License-Identifier: Apache-2.0

import Logging

/// Guests of lguest that run in one process.
struct FleetPlan {
  var guests: [GuestPlan]
  var pidfile: String?
  var logLevel = Logger.Level.info
  /// Whether each line says which guest it is about.
  var isLabelled = true

  /// A fleet of a file: see `FleetFile`.
  init(_ guests: [GuestPlan]) { self.guests = guests }

  /// The one guest of a command line.
  init(_ options: Serve) throws(UsageError) {
    try options.refuse(
      [
        ("--socket-dir", options.socketDir), ("--socket-path", options.socketPath),
        ("--connect", options.connect), ("--fd", options.fd),
        ("--socket-group", options.socketGroup), ("--socket-mode", options.socketMode),
        ("--once", options.once ? "" : nil),
        ("--in-band-notifications", options.inBandNotifications ? "" : nil),
      ], "is for vhost-user; an lguest guest needs no socket")
    guests = [try GuestPlan(options)]
    pidfile = options.pidfile
    logLevel = try options.level()
    isLabelled = false
  }

  /// The fleet of the file that `--config` names. What is for one guest stands in the file.
  init(config path: String, _ options: Serve) throws {
    if let transport = options.transport, transport != "lguest" {
      throw UsageError("--config is for lguest guests; leave out --transport \(transport)")
    }
    let lists = [
      ("--block", options.block), ("--net", options.net), ("--console", options.console),
      ("--rng", options.rng),
    ]
    try options.refuse(
      [
        ("--kernel", options.kernel), ("--memory", options.memory), ("--initrd", options.initrd),
        ("--append", options.append), ("--blk-file", options.blkFile), ("--export", options.export),
        ("--format", options.format), ("--read-only", options.readOnly ? "" : nil),
      ] + lists.map { ($0.0, $0.1.first) },
      "is for one guest; with --config write it into \(path), at that guest")
    try options.refuse(
      [
        ("--socket-dir", options.socketDir), ("--socket-path", options.socketPath),
        ("--connect", options.connect), ("--fd", options.fd),
        ("--socket-group", options.socketGroup), ("--socket-mode", options.socketMode),
        ("--once", options.once ? "" : nil),
        ("--in-band-notifications", options.inBandNotifications ? "" : nil),
      ], "is for vhost-user; the guests of --config need no socket")
    // A wrong option is told before the file is read.
    let level = try options.logLevel.map { _ in try options.level() }
    self = try FleetFile.plan(path)
    pidfile = options.pidfile ?? pidfile
    logLevel = level ?? logLevel
  }
}

extension FleetPlan {
  /// How many descriptors the process has open while all guests run, a few less at the least: a guest whose console
  /// cannot be started for lack of one would wait for it for ever.
  var descriptorCount: UInt64 {
    // As counted in /proc/PID/fd: standard streams, signals, counters.
    var count: UInt64 = 12
    for guest in guests {
      count += 6
      for entry in guest.devices {
        switch entry.device {
        case .rng: count += 6
        case .block: count += 10
        case .console: count += 12
        case .net: count += 19
        }
      }
    }
    return count
  }
}
