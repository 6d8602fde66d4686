// SPDX-License-Identifier: Apache-2.0
//
// ConsoleHost: the console's own thread, between the guest's queues and the host's end.
//
//     transmit queue ──writev──▶ pipe ──▶ ConsoleHost: output ──▶ host's end
//     receive queue  ◀──readv─── pipe ◀── ConsoleHost: input  ◀── (terminal, pty, socket, file)
//
// The two queue workers know two pipes and nothing else: they move bytes between guest memory and a pipe,
// and wait for the pipe. This thread owns everything on the host's side: who is connected, what is
// kept for whom, terminal settings, names in the file system. So nothing is shared between threads but
// kernel objects, and no lock is needed. It also runs while no guest does: a client can connect, and
// Ctrl-C gets the user out of a raw terminal.
//
// Output. What comes through the pipe goes into a buffer of a fixed size and from there to whoever reads. When
// the buffer is full, overflow=block leaves the pipe alone: it fills up too, and the guest's chains stay
// where they are until there is room. overflow=drop goes on taking and drops the oldest bytes. Two cases
// are treated as drop in any case, so that no guest waits for ever: nobody is there, and a reader that has
// taken nothing for longer than the user's patience, until it takes something again.
//
// Input. What the host's end sends waits here until the pipe has room, and then the host's end is not read: it
// sees that as back-pressure. Only for keys that mean something to the host, the three Ctrl-C, input must be
// read even if a guest is stuck; after a second without room it is read and thrown away, and counted. So is
// what a client has sent that has left, where it would keep the next client out.
//
// Used buffers are not held up by any of this: a chain is done as soon as its bytes are in the pipe.

import Linux
public import Synchronization

/// What was lost between a console's two ends, in bytes. Relaxed atomics: anybody may read them.
public final class ConsoleLosses: Sendable {
  /// Output for which there was no room.
  public let output = Atomic<UInt64>(0)
  /// Input that was thrown away to look for the way out of the terminal, or because its sender had left
  /// and others wait.
  public let input = Atomic<UInt64>(0)

  init() {}
}

/// What a console's thread shares with the device.
final class ConsoleHostControl: Sendable {
  private let wake: EventFD
  private let ending = Atomic<Bool>(false)

  init() throws(Errno) { wake = try EventFD() }

  var isEnding: Bool { ending.load(ordering: .relaxed) }
  var wakeDescriptor: Int32 { wake.descriptor.raw }

  /// Asks the thread to end.
  func end() {
    ending.store(true, ordering: .relaxed)
    wake.signal()
  }
}

/// What a console's thread needs, the host's end excepted.
struct ConsoleHostParts: ~Copyable, Sendable {
  let name: String
  let options: ConsoleOptions
  let control: ConsoleHostControl
  let losses: ConsoleLosses
  let trouble: TroubleReport
  /// The guest's output.
  let fromGuest: FileDescriptor
  /// The guest's input.
  let toGuest: FileDescriptor

  /// Starts the thread.
  consuming func start<End: HostEnd & ~Copyable>(
    _ end: consuming End
  ) throws(DeviceError) -> WorkerThread<Void> {
    let name = name
    let host = ConsoleHost(end, self)
    do throws(Errno) {
      return try WorkerThread.start(name: name, inheriting: .process, state: host) {
        (host: consuming ConsoleHost<End>) in host.run()
      }
    } catch {
      throw DeviceError("start \(name)", error)
    }
  }
}

struct ConsoleHost<End: HostEnd & ~Copyable>: ~Copyable, Sendable {
  /// How much is moved at once.
  private static var pieceSize: Int { 16384 }
  /// How long the last output may take to go when the console ends.
  private static var farewell: UInt64 { 250_000_000 }  // ns

  private var end: End
  private let name: String
  private let control: ConsoleHostControl
  private let losses: ConsoleLosses
  private let trouble: TroubleReport

  /// The guest's output: the pipe's reading end.
  private let fromGuest: FileDescriptor
  /// What waits for a reader: `bufferSize`, and up to a piece more that came last.
  private var output: ByteRing
  private let bufferSize: Int
  private let overflow: ConsoleOptions.Overflow
  private let patience: Duration
  private let inputPatience: Duration
  /// Since when the buffer is full and the reader takes nothing.
  private var outputStuckSince: UInt64?
  /// Whether that went on for too long.
  private var hasGivenUp = false

  /// The guest's input: the pipe's writing end.
  private let toGuest: FileDescriptor
  private var input = ByteRing(capacity: 2 * Self.pieceSize)
  /// Since when the guest takes no input though there is no more room for it.
  private var inputStuckSince: UInt64?

  /// Since when whoever is there is known to have left, while there is no room for what they have sent.
  private var leftSince: UInt64?

  private var piece = [UInt8](repeating: 0, count: Self.pieceSize)

  init(_ end: consuming End, _ parts: consuming ConsoleHostParts) {
    self.end = end
    name = parts.name
    control = parts.control
    losses = parts.losses
    trouble = parts.trouble
    bufferSize = parts.options.bufferSize
    output = ByteRing(capacity: bufferSize + Self.pieceSize)
    overflow = parts.options.overflow
    patience = parts.options.patience
    inputPatience = parts.options.inputPatience
    fromGuest = parts.fromGuest
    toGuest = parts.toGuest
  }

  /// Serves until the console is shut down.
  mutating func run() {
    while !control.isEnding { turn() }
    // What the guest said last is worth a moment.
    let deadline = MonotonicClock.nanoseconds &+ Self.farewell
    repeat {
      while !isOutputFull, takeOutput() {}
      sendOutput()
      guard !output.isEmpty, end.outlet >= 0 else { break }
      var entries: InlineArray<1, PollEntry> = [PollEntry(fd: end.outlet, events: .writable)]
      _ = try? Poll.wait(&entries, timeout: .milliseconds(10))
    } while MonotonicClock.nanoseconds < deadline
    end.close()
  }

  // MARK: One turn

  /// Waits for something to do and does it.
  private mutating func turn() {
    let now = MonotonicClock.nanoseconds
    updateStuck(now)
    let hasRoom = input.free >= Self.pieceSize
    let throwsInputAway = isInputStuck(now)
    updatePresence(now, hasRoom: hasRoom || throwsInputAway)
    let takesInput = hasRoom || throwsInputAway || !end.isAttended
    // Once that they have left is known, polling for it would not wait.
    let arrivals =
      takesInput ? end.arrivals : WakeSource(leftSince == nil ? end.presence : -1, [])

    var entries: InlineArray<5, PollEntry> = [
      PollEntry(fd: control.wakeDescriptor),
      PollEntry(fd: dropsOutput || !isOutputFull ? fromGuest.raw : -1),
      PollEntry(fd: input.isEmpty ? -1 : toGuest.raw, events: .writable),
      PollEntry(fd: arrivals.descriptor, events: arrivals.events),
      PollEntry(fd: output.isEmpty ? -1 : end.outlet, events: .writable),
    ]
    do throws(Errno) {
      _ = try Poll.wait(&entries, timeout: timeout(now))
    } catch {
      // Out of kernel memory, at worst. Each call below tells for itself whether it can do anything.
      trouble.report("\(name): cannot poll: \(error)")
    }

    // Who left is noticed first, so that nothing is sent to nobody.
    if !takesInput, entries[3].isReady { leftSince = now }
    if (takesInput && entries[3].isReady) || end.lookInterval != nil {
      receive(hasRoom: hasRoom || throwsInputAway, keeps: hasRoom)
    } else if entries[4].returned.contains(.hangup) {
      receive(hasRoom: false, keeps: false)
    }
    if entries[1].isReady { _ = takeOutput() }
    sendOutput()
    passInput()
  }

  /// How long to wait at most, nil for ever.
  private func timeout(_ now: UInt64) -> Duration? {
    var timeout = end.lookInterval
    if let since = outputStuckSince, !hasGivenUp {
      let left = patience - .nanoseconds(now &- since)
      timeout = min(timeout ?? left, left)
    }
    if let since = inputStuckSince, !isInputStuck(now) {
      let left = inputPatience - .nanoseconds(now &- since)
      timeout = min(timeout ?? left, left)
    }
    if let since = leftSince {
      let left = max(.zero, inputPatience - .nanoseconds(now &- since))
      timeout = min(timeout ?? left, left)
    }
    return timeout
  }

  /// Makes room for the next client where one has left and the guest takes nothing of what it sent.
  private mutating func updatePresence(_ now: UInt64, hasRoom: Bool) {
    guard !hasRoom, end.isAttended, let since = leftSince else {
      leftSince = nil
      return
    }
    guard .nanoseconds(now &- since) >= inputPatience else { return }
    leftSince = nil
    let count = end.forget()
    guard count > 0 else { return }
    losses.input.wrappingAdd(UInt64(count), ordering: .relaxed)
    trouble.report(
      "\(name): the guest takes no input; \(count) bytes of a client that left are dropped"
    )
  }

  /// Keeps account of who takes nothing, and since when.
  private mutating func updateStuck(_ now: UInt64) {
    if overflow == .block, end.outlet >= 0, isOutputFull {
      let since = outputStuckSince ?? now
      outputStuckSince = since
      if !hasGivenUp, .nanoseconds(now &- since) >= patience {
        hasGivenUp = true
        trouble.report(
          "\(name): nobody takes the output; the oldest is dropped until somebody does")
      }
    } else {
      outputStuckSince = nil
    }
    if End.watchesKeys, input.free < Self.pieceSize {
      inputStuckSince = inputStuckSince ?? now
    } else {
      inputStuckSince = nil
    }
  }

  private func isInputStuck(_ now: UInt64) -> Bool {
    guard let since = inputStuckSince else { return false }
    return .nanoseconds(now &- since) >= inputPatience
  }

  // MARK: Output

  private var isOutputFull: Bool { output.count >= bufferSize }

  /// Whether the oldest output makes room, rather than the guest wait.
  private var dropsOutput: Bool { overflow == .drop || end.outlet < 0 || hasGivenUp }

  /// Takes a piece of output out of the pipe; what is too much for the buffer, then, is dropped.
  ///
  /// - Returns: whether there may be more.
  private mutating func takeOutput() -> Bool {
    if dropsOutput { dropExcess() }
    do throws(Errno) {
      let count = try fromGuest.read(into: &piece)
      output.append(piece, count: count)
      if dropsOutput { dropExcess() }
      return count > 0
    } catch {
      return false
    }
  }

  /// Drops the oldest output until the buffer is no more than full.
  private mutating func dropExcess() {
    let excess = output.count - bufferSize
    guard excess > 0 else { return }
    output.removeFirst(excess)
    losses.output.wrappingAdd(UInt64(excess), ordering: .relaxed)
  }

  /// Sends as much output as the host's end takes now.
  private mutating func sendOutput() {
    while !output.isEmpty, end.outlet >= 0 {
      switch end.send(output.storage, output.front) {
      case .taken(let count):
        guard count > 0 else { return }
        output.removeFirst(count)
        outputStuckSince = nil
        hasGivenUp = false
      case .lost(let count):
        output.removeFirst(count)
        losses.output.wrappingAdd(UInt64(count), ordering: .relaxed)
      case .nothing:
        return
      }
    }
  }

  // MARK: Input

  /// Takes what the host's end sends, and finds out who is there.
  private mutating func receive(hasRoom: Bool, keeps: Bool) {
    let count = end.receive(into: &piece, hasRoom: hasRoom)
    guard count > 0 else { return }
    if keeps {
      input.append(piece, count: count)
    } else {
      losses.input.wrappingAdd(UInt64(count), ordering: .relaxed)
    }
  }

  /// Passes input to the guest's pipe.
  private mutating func passInput() {
    while !input.isEmpty {
      do throws(Errno) {
        let bytes = input.storage
        let count = try toGuest.write(bytes.span.extracting(input.front))
        input.removeFirst(count)
      } catch {
        return
      }
    }
  }
}
