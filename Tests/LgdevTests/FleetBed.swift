// SPDX-License-Identifier: Apache-2.0
//
// FleetBed: several guests in one process, on hosts that the test plays. It runs in a process of its own, since signals,
// standard input and the end belong to the whole process.

import ArgumentParser
import Backends
import Foundation
import LguestTesting
import LguestTransport
import Linux

@testable import lgdev

struct FleetBed {
  var plan: FleetPlan
  let hosts: [String: FakeHost]
  let kernel: String

  /// A fleet whose guests have the given devices. - Parameter folder: where its kernel is made.
  init(in folder: String, _ guests: [(name: String, devices: [DeviceArgument])]) throws {
    let kernel = "\(folder)/kernel"
    let file = try FileDescriptor.open(kernel, [.writeOnly, .create, .truncate])
    try file.writeAll(ELF().bytes)
    self.kernel = kernel
    var hosts: [String: FakeHost] = [:]
    plan = FleetPlan(
      try guests.map { guest in
        hosts[guest.name] = try FakeHost()
        return GuestPlan(
          name: guest.name, guest: GuestOptions(kernel: kernel, memory: 32 << 20),
          devices: guest.devices
        ) { _, _ in }
      })
    self.hosts = hosts
  }

  func play(_ guest: String, _ answers: FakeHost.Answer...) {
    for answer in answers { hosts[guest]?.play(answer) }
  }

  /// Runs the fleet, and ends the process with its code; with 9 where it is refused, and says why.
  func run() {
    let hosts = hosts
    do {
      try GuestDaemon.run(plan) { (name) throws(LguestError) in
        guard let host = hosts[name] else { throw .noModule }
        host.reopen()
        return host
      }
      exit(0)
    } catch let code as ExitCode {
      exit(code.rawValue)
    } catch {
      StandardError.print("\(error)")
      exit(9)
    }
  }

  /// Sends a signal to this process's thread for signals. Sent to the process, it could be taken by a thread of the
  /// test library, which blocks none.
  static func send(_ signal: Int32) {
    // Swift does not import it.
    typealias Call = @convention(c) (Int32, Int32, Int32) -> Int32
    guard let symbol = unsafe dlsym(nil, "tgkill") else { return }
    let tgkill = unsafe unsafeBitCast(symbol, to: Call.self)
    // A thread has its name from when it first runs.
    while true {
      let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
      for thread in threads.compactMap({ Int32($0) }) {
        let name = try? String(contentsOfFile: "/proc/self/task/\(thread)/comm", encoding: .utf8)
        if name == "signals\n" {
          _ = tgkill(getpid(), thread, signal)
          return
        }
      }
      usleep(1000)
    }
  }

  /// Waits until nobody has an image locked any more.
  static func waitUntilFree(_ image: String) {
    while (try? BlockDevice(name: "probe", options: BlockOptions(path: image))) == nil {
      usleep(1000)
    }
  }
}

/// What a run has said.
struct Said {
  let lines: [String]

  init(_ bytes: [UInt8]?) {
    lines = String(decoding: bytes ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
  }

  func count(_ line: String) -> Int { lines.count { $0 == line } }

  /// Whether these lines are there, in this order.
  func has(_ wanted: String...) -> Bool {
    var rest = lines[...]
    for line in wanted {
      guard let index = rest.firstIndex(of: line) else { return false }
      rest = rest[(index + 1)...]
    }
    return true
  }
}
