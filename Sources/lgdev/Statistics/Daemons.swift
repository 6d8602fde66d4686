// SPDX-License-Identifier: Apache-2.0
//
// Daemons: finds the processes that show counters, and reads them.
//
// Each has a memory file of a certain name among its descriptors; who may look at the process may read it. The
// process may be anybody's and its file may lie: see StatisticsReader.swift.

import Backends
import Linux

/// A process that shows counters, and what they are.
struct DaemonReading: Equatable {
  var process: Int32
  var statistics: StatisticsReading
}

/// The processes that show counters, at one moment.
struct Daemons: Equatable {
  /// Those that could be read, by number.
  var readings: [DaemonReading] = []
  /// Those whose counters are there and cannot be read, and why.
  var troubles: [Trouble] = []
  /// Daemons of other users, which this one may not look at.
  var forbiddenCount = 0

  struct Trouble: Equatable, Encodable {
    var process: Int32
    var reason: String

    /// One line.
    var line: String { "process \(process): \(reason)" }
  }

  /// Looks at given processes, or at all.
  ///
  /// - Throws: where nothing can be read: what is missing, what may not be looked at. Of processes that were named
  ///   each must be readable.
  static func read(_ processes: [Int32]) throws(HostError) -> Daemons {
    guard FileSystem.exists("/proc/self") else {
      throw HostError(
        "there is no /proc to find daemons in; mount it with 'mount -t proc proc /proc'")
    }
    var daemons = Daemons()
    if processes.isEmpty {
      daemons = all()
    } else {
      for process in processes { daemons.readings.append(try read(process)) }
    }
    return try daemons.checked()
  }

  /// - Throws: where nothing could be read.
  func checked() throws(HostError) -> Daemons {
    guard readings.isEmpty else { return self }
    if let trouble = troubles.first { throw HostError(trouble.line) }
    guard forbiddenCount == 0 else {
      throw HostError("all daemons that run are other users'; look at them as root")
    }
    throw HostError("no lgdev daemon runs; 'lgdev serve' starts one")
  }

  private static func all() -> Daemons {
    var daemons = Daemons()
    let names = (try? FileSystem.names(in: "/proc")) ?? []
    for process in names.compactMap({ Int32($0) }).sorted() {
      do throws(Refusal) {
        if let statistics = try statistics(of: process) {
          daemons.readings.append(DaemonReading(process: process, statistics: statistics))
        }
      } catch {
        switch error {
        case .gone: break
        case .forbidden: if isLgdev(process) { daemons.forbiddenCount += 1 }
        case .unreadable(let reason):
          daemons.troubles.append(Trouble(process: process, reason: reason))
        }
      }
    }
    return daemons
  }

  private static func read(_ process: Int32) throws(HostError) -> DaemonReading {
    do throws(Refusal) {
      if let statistics = try statistics(of: process) {
        return DaemonReading(process: process, statistics: statistics)
      }
    } catch {
      switch error {
      case .gone: throw HostError("there is no process \(process)")
      case .forbidden:
        throw HostError("no right to look at process \(process); do it as its user or as root")
      case .unreadable(let reason): throw HostError("process \(process): \(reason)")
      }
    }
    guard !hasEnded(process) else { throw HostError("there is no process \(process)") }
    throw HostError("process \(process) shows no counters; it is no lgdev daemon")
  }

  // MARK: One process

  /// Why a process says nothing.
  private enum Refusal: Error {
    case gone
    case forbidden
    case unreadable(String)

    init(_ error: Errno) {
      self =
        switch error {
        case .notFound, .noSuchProcess: .gone
        case .accessDenied, .permission: .forbidden
        default: .unreadable(error.description)
        }
    }
  }

  /// Looks for a process's file and reads it. - Returns: nil where there is none.
  private static func statistics(of process: Int32) throws(Refusal) -> StatisticsReading? {
    let folder = "/proc/\(process)/fd"
    let names: [String]
    do throws(Errno) { names = try FileSystem.names(in: folder) } catch { throw Refusal(error) }
    for name in names {
      let path = "\(folder)/\(name)"
      guard (try? FileSystem.symbolicLinkTarget(path)) == StatisticsReading.linkTarget else {
        continue
      }
      let file: FileDescriptor
      // It may have become something else meanwhile, something that waits when it is opened.
      do throws(Errno) {
        file = try FileDescriptor.open(path, [.readOnly, .nonBlocking, .noControllingTerminal])
      } catch {
        throw Refusal(error)
      }
      do throws(StatisticsError) { return try StatisticsReading(file) } catch {
        throw .unreadable(error.description)
      }
    }
    return nil
  }

  /// Whether a process is on its way out, or dead and not waited for: it has a number still, and no files any more.
  private static func hasEnded(_ process: Int32) -> Bool {
    guard let file = try? FileDescriptor.open("/proc/\(process)/stat"),
      let bytes = try? file.read(upTo: 1024)
    else { return true }
    // Behind the name, which may hold anything: state, parent, group, session, terminal, its group, flags (proc(5)).
    let line = String(decoding: bytes, as: UTF8.self)
    guard let fields = line.split(separator: ")").last?.split(separator: " "), fields.count > 6,
      let flags = UInt32(fields[6])
    else { return false }
    let isExiting: UInt32 = 4  // PF_EXITING
    return flags & isExiting != 0
  }

  /// Whether a process goes by this program's name, which everybody may see.
  private static func isLgdev(_ process: Int32) -> Bool {
    guard let file = try? FileDescriptor.open("/proc/\(process)/comm"),
      let name = try? file.read(upTo: 16)
    else { return false }
    return String(decoding: name, as: UTF8.self).hasPrefix("lgdev")
  }
}
