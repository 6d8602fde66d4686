// SPDX-License-Identifier: Apache-2.0
//
// StdioEnd: a console on standard input and output.
//
// O_NONBLOCK belongs to the open file, which the shell and others share; set there it would break
// them. So terminals and pipes are opened once more, through /proc, and the new open file is ours
// alone. A socket cannot be opened like that; it is switched over, and back at the end. Regular files never wait,
// and must not be opened again: we would write from their start.

import Linux

struct StdioEnd: HostEnd, ~Copyable {
  static var watchesKeys: Bool { true }

  private let name: String
  private let input: Stream
  private let output: Stream
  private var rawTerminal: RawTerminal?
  private var hasInput = true
  private var hasOutput = true
  private var escape = EscapeDetector()
  private let onEscape: (@Sendable () -> Void)?
  private let trouble: TroubleReport

  init(
    name: String, input: Int32, output: Int32, onEscape: (@Sendable () -> Void)?,
    trouble: TroubleReport
  ) throws(DeviceError) {
    self.name = name
    self.onEscape = onEscape
    self.trouble = trouble
    let input = try DeviceError.naming("use standard input as \(name)") { () throws(Errno) in
      try Stream(input, .readOnly)
    }
    let output = try DeviceError.naming("use standard output as \(name)") { () throws(Errno) in
      try Stream(output, .writeOnly)
    }
    rawTerminal = try Self.makeRaw(input.descriptor, name)
    self.input = input
    self.output = output
  }

  /// Makes a terminal raw. - Returns: nil for what is no terminal.
  private static func makeRaw(
    _ input: borrowing FileDescriptor, _ name: String
  ) throws(DeviceError) -> RawTerminal? {
    guard Terminal(input.raw).isTerminal else { return nil }
    guard !RawTerminal.belongsToAnotherJob(input) else {
      throw DeviceError(
        "use standard input as \(name)",
        "its terminal belongs to another job; run in the foreground or give </dev/null")
    }
    do throws(Errno) {
      return try RawTerminal(input)
    } catch {
      throw DeviceError("put the terminal of \(name) into raw mode", error)
    }
  }

  /// The terminal whose size counts, kept open by whoever asks; nil where there is none.
  borrowing func openTerminal() -> FileDescriptor? {
    if output.terminal.isTerminal { return try? output.descriptor.duplicate() }
    if input.terminal.isTerminal { return try? input.descriptor.duplicate() }
    return nil
  }

  var arrivals: WakeSource {
    hasInput ? WakeSource(input.descriptor.raw, .readable) : .none
  }

  var isAttended: Bool { true }

  var outlet: Int32 { hasOutput ? output.descriptor.raw : -1 }

  mutating func receive(into buffer: inout [UInt8], hasRoom: Bool) -> Int {
    guard hasRoom else { return 0 }
    do throws(Errno) {
      let count = try input.descriptor.read(into: &buffer)
      guard count > 0 else {
        hasInput = false
        return 0
      }
      if escape.isEscape(
        buffer.span.extracting(first: count), now: MonotonicClock.nanoseconds)
      {
        onEscape?()
      }
      return count
    } catch .again {
      return 0
    } catch {
      // A terminal that went away says so with EIO.
      hasInput = false
      if error != .io { trouble.report("\(name): cannot read standard input: \(error)") }
      return 0
    }
  }

  mutating func send(_ bytes: [UInt8], _ range: Range<Int>) -> Sent {
    do throws(Errno) {
      return .taken(try output.descriptor.write(bytes.span.extracting(range)))
    } catch .again {
      return .nothing
    } catch .noSpace {
      trouble.report("\(name): cannot write to standard output: \(Errno.noSpace)")
      return .lost(range.count)
    } catch {
      hasOutput = false
      trouble.report("\(name): cannot write to standard output: \(error)")
      return .nothing
    }
  }

  mutating func close() {
    rawTerminal = nil
    input.giveBack()
    output.giveBack()
  }
}

/// One of somebody else's descriptors, made non-blocking without its owner's noticing.
private struct Stream: ~Copyable, Sendable {
  let descriptor: FileDescriptor
  private let wasSwitched: Bool

  var terminal: Terminal { Terminal(descriptor.raw) }

  init(_ raw: Int32, _ access: OpenFlags) throws(Errno) {
    let shared = try FileDescriptor.duplicating(raw)
    switch try shared.status().kind {
    case .characterDevice, .fifo:
      let flags = access.union([.nonBlocking, .noControllingTerminal])
      if let own = try? FileDescriptor.open("/proc/self/fd/\(raw)", flags) {
        descriptor = own
        wasSwitched = false
        return
      }
    case .socket: break
    default:
      descriptor = shared
      wasSwitched = false
      return
    }
    try shared.setNonBlocking(true)
    descriptor = shared
    wasSwitched = true
  }

  borrowing func giveBack() {
    if wasSwitched { try? descriptor.setNonBlocking(false) }
  }
}
