// SPDX-License-Identifier: Apache-2.0
//
// ExportPlan: what a `lgdev export` command line asks for, checked as far as that goes without looking at the
// host.

import Backends
import FuseExport

/// Which images to show, and how.
struct ExportPlan {
  var images: [String]
  var isWritable: Bool
  var options: ExportOptions
  var isVerbose: Bool

  init(_ command: ExportCommand) throws(UsageError) {
    images = Array(command.paths.dropLast())
    isVerbose = command.verbose
    isWritable = command.writable
    options = ExportOptions(mountPoint: command.paths.last ?? "")
    options.isGrowable = command.growable
    options.threadCount = command.threads
    if let text = command.format { options.format = try .init(argument: text, of: "--format") }
    if let text = command.sectorSize {
      options.sectorSize = try Self.sectorSize(text, "--sector-size")
    }
    options.usesLostGPT = command.lostGpt
    if let text = command.uid { options.user = try Self.number(text, "--uid") }
    if let text = command.gid { options.group = try Self.number(text, "--gid") }
    if let text = command.mode { options.mode = try Self.mode(text, "--mode") }
    for text in command.options {
      for word in text.split(separator: ",") {
        try take(String(word), fromMount: command.asMountHelper)
      }
    }
    // mount(8) has its own words in front of those from /etc/fstab: `mount -r` is what is asked for now.
    if command.asMountHelper,
      command.options.contains(where: { $0.split(separator: ",").contains("ro") })
    {
      isWritable = false
      options.isGrowable = false
    }
    // What was misspelled is told before what is missing.
    guard command.paths.count >= 2 else {
      throw UsageError(
        "export needs an image and a mount point, such as 'lgdev export disk.img /mnt'")
    }
    guard !command.paths.contains("") else {
      throw UsageError("an image or mount point without a name: '' is no path")
    }
    guard !options.isGrowable || isWritable else {
      throw UsageError("--growable is about writing; give --writable as well")
    }
  }

  /// What mount(2) or fusermount3(1) understand.
  private static let passedOn: Set<String> = [
    "dev", "nodev", "suid", "nosuid", "exec", "noexec", "atime", "noatime", "sync", "dirsync",
  ]
  /// What is for mount(8) and others who read /etc/fstab, or is so anyway.
  private static let ignored: Set<String> = [
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail",
    "async", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime",
    "diratime", "nodiratime", "default_permissions", "loud", "silent",
  ]

  /// Takes a word of `-o`.
  ///
  /// - Parameter fromMount: whether mount(8) has written it, which adds `rw` by itself.
  private mutating func take(_ word: String, fromMount: Bool) throws(UsageError) {
    switch word {
    case "ro": isWritable = false
    case "rw": if !fromMount { isWritable = true }
    case "writable": isWritable = true
    case "growable": options.isGrowable = true
    case "allow_other": options.allowsOthers = true
    case "auto_unmount": options.unmountsItself = true
    case "nonempty": options.coversEntries = true
    case "lost-gpt": options.usesLostGPT = true
    case "nopassthrough": options.usesPassthrough = false
    default:
      if let (key, value) = Self.keyAndValue(word) {
        switch key {
        case "uid": options.user = try Self.number(value, "-o uid")
        case "gid": options.group = try Self.number(value, "-o gid")
        case "mode": options.mode = try Self.mode(value, "-o mode")
        case "sector-size": options.sectorSize = try Self.sectorSize(value, "-o sector-size")
        case "format": options.format = try .init(argument: value, of: "-o format")
        case "comment": return
        default:
          guard key.hasPrefix("x-") else { throw Self.unknown(word) }
        }
        return
      }
      if Self.passedOn.contains(word) {
        options.mountOptions.append(word)
      } else if !Self.ignored.contains(word), !word.hasPrefix("x-") {
        throw Self.unknown(word)
      }
    }
  }

  private static func keyAndValue(_ word: String) -> (key: String, value: String)? {
    guard let sign = word.firstIndex(of: "=") else { return nil }
    return (String(word[..<sign]), String(word[word.index(after: sign)...]))
  }

  private static func unknown(_ word: String) -> UsageError {
    UsageError("-o \(word): there is no such option (see 'lgdev help export')")
  }

  private static func number(_ text: String, _ option: String) throws(UsageError) -> UInt32 {
    // The largest one means "nobody in particular" to the kernel.
    guard let number = UInt32(text), number != .max else {
      throw UsageError("\(option) \(text) is not a number of a user or group")
    }
    return number
  }

  private static func sectorSize(_ text: String, _ option: String) throws(UsageError) -> Int {
    guard text == "512" || text == "4096" else {
      throw UsageError("\(option) \(text): a sector has 512 or 4096 bytes")
    }
    return text == "512" ? 512 : 4096
  }

  private static func mode(_ text: String, _ option: String) throws(UsageError) -> UInt32 {
    guard let mode = UInt32(text, radix: 8), mode <= 0o777 else {
      throw UsageError("\(option) \(text) is not an octal mode such as 0640")
    }
    return mode
  }
}
