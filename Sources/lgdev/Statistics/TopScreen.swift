// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux

/// The live view of `lgdev top`.
struct TopScreen: ~Copyable {
  private let processes: [Int32]
  /// In nanoseconds.
  private let interval: UInt64
  private var left: Int?
  private let signals: SignalFD
  /// nil where the keyboard is not this program's to read: it shows all the same.
  private var keyboard: Keyboard?
  private var order = TopView.Order.name
  private var earlier: Daemons?
  private var now: Daemons
  private let hasColour = Environment.hasColour

  /// Shows daemons until the user has seen enough, or none is left.
  ///
  /// - Throws: where there is nothing to show from the start.
  static func run(
    _ processes: [Int32], every interval: UInt64, count: Int?
  ) throws(HostError) {
    let now = try Daemons.read(processes)
    let signals = try SignalFD.taking(SignalWatch.signals)
    Signal.pipe.ignore()
    var screen = TopScreen(
      processes, interval, count, now: now, signals: signals, keyboard: Keyboard.take())
    let farewell = screen.watch()
    // The terminal is as it was before anything is said.
    screen.keyboard = nil
    try StandardOutput.writeAll(Array((farewell.map { "\n\($0)\n" } ?? "\n").utf8))
  }

  private init(
    _ processes: [Int32], _ interval: UInt64, _ count: Int?, now: Daemons,
    signals: consuming SignalFD, keyboard: consuming Keyboard?
  ) {
    self.processes = processes
    self.interval = interval
    left = count
    self.now = now
    self.signals = signals
    self.keyboard = keyboard
  }

  /// - Returns: what is to be said at the end.
  private mutating func watch() -> String? {
    var next = MonotonicClock.nanoseconds
    while true {
      guard draw() else { return nil }
      if let left {
        guard left > 1 else { return nil }
        self.left = left - 1
      }
      next &+= interval
      // After a pause of the whole machine there is nothing to catch up with.
      next = max(next, MonotonicClock.nanoseconds)
      switch idle(until: next) {
      case .quit: return nil
      case .time: break
      }
      do throws(HostError) {
        let reading = try Daemons.read(processes)
        earlier = now
        now = reading
      } catch {
        return error.description
      }
    }
  }

  private enum Wake {
    case quit
    case time
  }

  /// Waits, and does meanwhile what keys and signals ask for.
  private mutating func idle(until end: UInt64) -> Wake {
    while true {
      let time = MonotonicClock.nanoseconds
      guard time < end else { return .time }
      let keys: Int32 =
        switch keyboard {
        case .some(let keyboard): keyboard.descriptor.raw
        case .none: -1
        }
      var entries: InlineArray<2, PollEntry> = [
        PollEntry(fd: signals.descriptor.raw), PollEntry(fd: keys),
      ]
      _ = try? Poll.wait(&entries, timeout: .nanoseconds(end - time))
      while let signal = try? signals.next() {
        guard signal == .windowChange else { return .quit }
        guard draw() else { return .quit }
      }
      if entries[1].isReady, !press() { return .quit }
    }
  }

  /// Takes keys. - Returns: false where one of them quits, or no more can come.
  private mutating func press() -> Bool {
    let typed: [UInt8]
    switch keyboard {
    case .some(let keyboard):
      do throws(Errno) { typed = try keyboard.descriptor.read(upTo: 64) } catch {
        return error == .again
      }
    case .none: return true
    }
    guard !typed.isEmpty else { return false }
    for key in typed {
      switch key {
      // q, Q, Ctrl-C, Ctrl-D
      case 0x71, 0x51, 3, 4: return false
      case 0x73, 0x53:
        order = order == .name ? .busy : .name
        guard draw() else { return false }
      default: break
      }
    }
    return true
  }

  private var hasKeys: Bool {
    switch keyboard {
    case .some: true
    case .none: false
    }
  }

  // MARK: Drawing

  /// Draws all of the screen. - Returns: false where the terminal is gone.
  private func draw() -> Bool {
    let size = (try? Terminal(1).size()) ?? TerminalSize(columns: 80, rows: 24)
    let width = size.columns > 0 ? max(20, Int(size.columns)) : 80
    let height = size.rows > 0 ? max(4, Int(size.rows)) : 24
    let lines = Self.page(
      now, since: earlier, order: order, interval: interval, width: width, height: height,
      hasKeys: hasKeys)
    // From the top, each line to its end, then what is below: nothing flickers.
    var text = "\u{1b}[H"
    for (index, line) in lines.enumerated() {
      let isTitle = index == 1
      text += isTitle && hasColour ? "\u{1b}[7m\(line)\u{1b}[0m" : line
      text += "\u{1b}[K"
      if index < lines.count - 1 { text += "\r\n" }
    }
    text += "\u{1b}[J"
    do throws(HostError) {
      try StandardOutput.writeAll(Array(text.utf8))
      return true
    } catch {
      return false
    }
  }

  /// The lines of a screen; the last one tells how many did not fit.
  static func page(
    _ daemons: Daemons, since earlier: Daemons?, order: TopView.Order, interval: UInt64,
    width: Int, height: Int, hasKeys: Bool
  ) -> [String] {
    let queues = daemons.readings.reduce(0) { $0 + TopView.shown($1.statistics.queues).count }
    let keys = hasKeys ? "; q quits, s: \(order == .name ? "busiest first" : "by name")" : ""
    let every = ShortText.time(interval)
    let heading =
      "lgdev top: \(queues) queue\(queues == 1 ? "" : "s"), every \(every)\(keys)"
    var lines = [String(heading.prefix(width))]
    lines += TopView.lines(daemons, since: earlier, order: order, width: width)
    guard lines.count > height else { return lines }
    let rest = lines.count - height + 1
    lines.removeLast(rest)
    lines.append(String("(\(rest) more lines; a higher window shows them)".prefix(width)))
    return lines
  }
}

/// A terminal whose keys arrive one by one, for as long as this value lives.
private struct Keyboard: ~Copyable {
  let descriptor: FileDescriptor
  private let raw: RawTerminal

  private init(_ descriptor: consuming FileDescriptor) throws(Errno) {
    raw = try RawTerminal(descriptor)
    self.descriptor = descriptor
  }

  /// Standard input, where it is a terminal and this program in its foreground.
  static func take() -> Keyboard? {
    guard Terminal(0).isTerminal, let input = try? FileDescriptor.duplicating(0),
      !RawTerminal.belongsToAnotherJob(input)
    else { return nil }
    return try? Keyboard(input)
  }
}
