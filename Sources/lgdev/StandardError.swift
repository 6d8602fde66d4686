// SPDX-License-Identifier: Apache-2.0
//
// The program's output: errors and log lines, and what guests print. Nobody who prints waits (Printer); the end of the
// program waits until all is written, for a second where the stream takes nothing.

import Glibc
import Linux
import Synchronization

/// The error stream, a line at a time; for a process that has gone on without a terminal the system's log.
enum StandardError {
  private static let isSystemLog = Atomic<Bool>(false)
  private static let stream: OutputStream = {
    // However the process ends; `_exit` alone leaves it out.
    atexit { StandardError.finish() }
    return OutputStream(2, thread: "stderr", loss: lossLine)
  }()
  private static let systemLog = try? Printer("syslog", loss: lossLine) {
    SystemLog.write(String(decoding: $0.bytes, as: UTF8.self), $0.priority)
  }

  /// Makes ready to print: later there may be no room for another descriptor.
  static func open() { _ = stream }

  /// From now on lines go to the system's log, and none is on its way to the error stream.
  static func becomeSystemLog() {
    stream.finish()
    SystemLog.open()
    _ = systemLog
    isSystemLog.store(true, ordering: .releasing)
  }

  /// Prints a line with one write, so that lines of several threads and processes do not mix. It does not wait.
  ///
  /// A line break inside becomes a space.
  static func print(_ line: String, _ priority: SystemLog.Priority = .error) {
    let flat = line.split(whereSeparator: \.isNewline).joined(separator: " ")
    if isSystemLog.load(ordering: .acquiring) {
      guard let systemLog else { return SystemLog.write(flat, priority) }
      return systemLog.print(Printer.Piece(bytes: Array(flat.utf8), priority: priority))
    }
    stream.print(Array((flat + "\n").utf8))
  }

  /// Waits until all lines are written. - Returns: false where nobody takes them.
  @discardableResult
  static func finish() -> Bool {
    guard isSystemLog.load(ordering: .acquiring) else { return stream.finish() }
    return systemLog?.wait(atMost: OutputStream.patience) ?? true
  }

  private static func lossLine(_ count: Int) -> Printer.Piece {
    let lines = count == 1 ? "a line" : "\(count) lines"
    let text = "warning: \(lines) left out here, which could not be written in time"
    return Printer.Piece(
      bytes: Array((isSystemLog.load(ordering: .acquiring) ? text : text + "\n").utf8),
      priority: .warning)
  }
}

/// The output stream.
enum StandardOutput {
  private static let stream: OutputStream = {
    atexit { StandardOutput.finish() }
    return OutputStream(1, thread: "stdout") { count in
      Printer.Piece(bytes: Array("\n(\(count) pieces of output left out here)\n".utf8))
    }
  }()

  /// Writes all bytes, and waits for whoever takes them: for a command whose output it is.
  ///
  /// - Throws: where nobody takes them.
  static func writeAll(_ bytes: [UInt8]) throws(HostError) {
    do throws(Errno) { try FileDescriptor.duplicating(1).writeAll(bytes) } catch {
      throw HostError("cannot write to the output: \(error)")
    }
  }

  /// Prints bytes as they are, and does not wait.
  static func print(_ bytes: [UInt8]) { stream.print(bytes) }

  private static func finish() { stream.finish() }
}

/// One of the standard streams.
private final class OutputStream: Sendable {
  private let descriptor: Int32
  private let printer: Printer?

  /// How long what is still to be written may take, at the end.
  static let patience = Duration.seconds(10)
  /// How long it may take while the stream takes nothing.
  private static let stuckPatience = Duration.seconds(1)

  init(_ descriptor: Int32, thread: String, loss: @escaping @Sendable (Int) -> Printer.Piece) {
    self.descriptor = descriptor
    printer = try? Printer(thread, loss: loss) { piece throws(Errno) in
      try Self.write(piece.bytes, to: descriptor)
    }
  }

  func print(_ bytes: [UInt8]) {
    if let printer { return printer.print(Printer.Piece(bytes: bytes)) }
    // The system gives no thread, or no descriptor.
    try? Self.write(bytes, to: descriptor)
  }

  /// Waits until all is written. - Returns: false where nobody takes it.
  @discardableResult
  func finish() -> Bool {
    guard let printer else { return true }
    let step = Duration.milliseconds(50)
    var left = Self.patience
    var stuck = Duration.zero
    while left > .zero, stuck < Self.stuckPatience {
      if printer.wait(atMost: step) { return true }
      left -= step
      stuck = takes ? .zero : stuck + step
    }
    return false
  }

  /// Whether a write would not wait. Of a file on storage that hangs the system does not know.
  private var takes: Bool {
    var entries: InlineArray<1, PollEntry> = [PollEntry(fd: descriptor, events: .writable)]
    return (try? Poll.wait(&entries, timeout: .zero)) != 0
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(Errno) {
    // Not a copy: there may be no room for another descriptor.
    let stream = FileDescriptor(owning: descriptor)
    var failure: Errno?
    do throws(Errno) { try stream.writeAllWaiting(bytes) } catch { failure = error }
    _ = stream.release()
    if let failure { throw failure }
  }
}

extension FileDescriptor {
  /// Writes all bytes, also where somebody who shares the open file has made it one that does not wait.
  fileprivate borrowing func writeAllWaiting(_ bytes: [UInt8]) throws(Errno) {
    var done = 0
    while done < bytes.count {
      do throws(Errno) { done += try write(bytes.span.extracting(done...)) } catch .again {
        _ = try Poll.wait(for: .writable, on: self)
      }
    }
  }
}
