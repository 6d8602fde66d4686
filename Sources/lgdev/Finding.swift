// SPDX-License-Identifier: Apache-2.0
//
// Finding: one thing that a machine should have, whether it has it, and what to do. Each is found by
// trying: a file that is there may still be one that cannot be opened.

import Backends
import FoundationEssentials
import LguestTransport
import Linux

/// What `lgdev doctor` has found out about one thing.
struct Finding: Codable, Equatable {
  enum State: String, Codable {
    /// It is there.
    case good
    /// It is missing, and guests run all the same.
    case note
    /// It is missing, and something of `lgdev serve` does not work.
    case problem
  }

  /// What it is, in a word or two.
  let name: String
  let state: State
  /// What was found.
  let found: String
  /// What to do; nil where nothing is.
  let fix: String?

  /// All findings on this machine.
  static var all: [Finding] {
    [module, tun, uring, lockedMemory, fuse, qemu]
  }

  /// As text.
  var line: String {
    let mark =
      switch state {
      case .good: "ok"
      case .note: "note"
      case .problem: "problem"
      }
    let fix = fix.map { "; \($0)" } ?? ""
    return mark.padded(to: 8) + name.padded(to: 15) + found + fix
  }

  /// As JSON.
  static func json(_ findings: [Finding]) -> String {
    JSONText.of(findings)
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(1, width - count))
  }
}

// MARK: The findings

extension Finding {
  /// A finding about a device file that must open for reading and writing.
  static func deviceFile(
    _ name: String, _ path: String, missing state: State, use: String, load: String
  ) -> Finding {
    do throws(Errno) {
      _ = try FileDescriptor.open(path, [.readWrite, .nonBlocking])
      return Finding(name: name, state: .good, found: "\(path) opens: \(use)", fix: nil)
    } catch {
      let fix =
        error == .accessDenied || error == .permission
        ? "run as root, or let your user read and write it" : load
      return Finding(name: name, state: state, found: "\(path): \(error)", fix: fix)
    }
  }

  private static var module: Finding {
    lguest(isLoaded: FileSystem.exists("/sys/module/lguest")) { () throws(LguestError) in
      try RunningGuest.checkHost()
    }
  }

  /// About the module and its device file. - Parameter check: whether a guest can run.
  static func lguest(
    isLoaded: Bool, _ check: () throws(LguestError) -> Void
  ) -> Finding {
    let name = "lguest"
    do throws(LguestError) {
      try check()
      return Finding(
        name: name, state: .good,
        found: "the module is loaded, /dev/lguest opens: guests run with --transport lguest",
        fix: nil)
    } catch {
      let (found, fix) =
        switch error {
        case .noModule where isLoaded:
          (
            "the module is loaded, and there is no /dev/lguest",
            "make it: 'mknod -m 600 /dev/lguest c 10 $(cut -d: -f2 /sys/class/misc/lguest/dev)'"
          )
        case .noModule:
          (
            "the module is not loaded, so there is no /dev/lguest",
            "build and load it: 'make -C Kernel/module', 'insmod Kernel/module/lguest.ko'; "
              + "or see it inside QEMU: 'make demo'"
          )
        case .notOpened(.accessDenied), .notOpened(.permission):
          ("no right to open /dev/lguest", "run as root: it takes CAP_SYS_ADMIN")
        case .wrongInterface:
          (
            "/dev/lguest speaks another interface",
            "take the module out with 'rmmod lguest', build and load this version's: "
              + "'make -C Kernel/module', 'insmod Kernel/module/lguest.ko'"
          )
        default: ("\(error)", "see what the kernel says: 'dmesg'")
        }
      return Finding(name: name, state: .problem, found: found, fix: fix)
    }
  }

  private static var tun: Finding {
    deviceFile(
      "tap", "/dev/net/tun", missing: .problem, use: "network cards can be made (--net tap=…)",
      load: "load the driver: 'modprobe tun'")
  }

  private static var fuse: Finding {
    deviceFile(
      "fuse", "/dev/fuse", missing: .note, use: "guest disks can be shown as files",
      load: "load the driver: 'modprobe fuse'")
  }

  private static var uring: Finding {
    if let trouble = BlockDevice.uringTrouble {
      return Finding(
        name: "io_uring", state: .note, found: "cannot be used: \(trouble); disks use threads",
        fix: "where the kernel has it, 'sysctl kernel.io_uring_disabled=0'")
    }
    return Finding(name: "io_uring", state: .good, found: "disks use it", fix: nil)
  }

  /// Guests' memory is pinned, and root may pin what it likes.
  private static var lockedMemory: Finding {
    let limit = Process.lockedMemoryLimit
    let needed: UInt64 = 256 << 20
    guard Process.effectiveUser != 0, limit < needed else {
      return Finding(
        name: "locked memory", state: .good, found: "enough for an lguest guest", fix: nil)
    }
    return Finding(
      name: "locked memory", state: .note,
      found: "\(byteCountText(limit)), too little for an lguest guest of 256 MiB",
      fix: "'ulimit -l unlimited', or memlock in /etc/security/limits.conf")
  }

  private static var qemu: Finding {
    let program = "qemu-system-x86_64"
    let folders = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let path = folders.split(separator: ":").map { "\($0)/\(program)" }
      .first { FileSystem.isExecutable($0) }
    guard let path else {
      return Finding(
        name: "qemu", state: .note, found: "\(program) is not in PATH; the demo needs it",
        fix: "'apt-get install qemu-system-x86'")
    }
    return Finding(name: "qemu", state: .good, found: "\(path): the demo runs", fix: nil)
  }
}
