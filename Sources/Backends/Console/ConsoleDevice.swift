// SPDX-License-Identifier: Apache-2.0

public import Linux
import Synchronization
public import VirtioRing

extension Features {
  /// VIRTIO_CONSOLE_F_SIZE: the configuration space tells the window's size.
  public static let consoleSize = Features(bit: 0)
}

/// A console (virtio 1.3, 5.3) with one port: a receive queue and a transmit queue, connected to a
/// terminal, a pseudo-terminal, a socket or a file on the host.
///
/// The host's end is there from the beginning, whether or not a guest runs, until `shutDown`.
public final class ConsoleDevice: Device {
  /// Console.
  public let id = DeviceID.console
  /// The device's short name.
  public let name: String
  /// The window's size, and what rings can do.
  public let offeredFeatures = Features.allRing.union(.consoleSize)
  /// receiveq and transmitq of port 0.
  public let queueSizes: [UInt16] = ConsoleDevice.queueSizes
  package static let queueSizes: [UInt16] = [256, 256]
  /// Each queue is served in order.
  public let givesBackInOrder = true
  /// The counters of the receive queue and the transmit queue.
  public let statistics = [QueueStatistics("rx"), QueueStatistics("tx")]
  /// What was lost on the way.
  public let losses = ConsoleLosses()
  /// Where the host's end is to be found: the path of the pseudo-terminal, the socket or the file; nil
  /// for standard input and output.
  public let hostPath: String?

  private let window: ConsoleWindow
  /// The terminal whose size the guest is told.
  private let terminal: FileDescriptor?
  private let trouble: TroubleReport
  private let progress = ConsoleProgress()
  /// Where the transmit queue writes.
  private let output: FileDescriptor
  /// Where the receive queue reads.
  private let input: FileDescriptor
  private let control: ConsoleHostControl
  private let thread: Mutex<WorkerThread<Void>?>

  /// Makes a console and connects it to its host's end.
  ///
  /// - Throws: what the host refused, such as a path that is taken.
  public init(name: String, options: ConsoleOptions) throws(DeviceError) {
    guard options.bufferSize > 0 else {
      throw DeviceError("make \(name)", "its buffer must hold at least 1 byte")
    }
    self.name = name
    window = ConsoleWindow(fixedSize: options.size)
    trouble = TroubleReport(options.onTrouble)
    let action = "make \(name)"
    control = try DeviceError.naming(action) { () throws(Errno) in try ConsoleHostControl() }
    let outward = try DeviceError.naming(action) { () throws(Errno) in try Pipe() }
    let inward = try DeviceError.naming(action) { () throws(Errno) in try Pipe() }
    output = outward.writing
    input = inward.reading
    let host = ConsoleHostParts(
      name: name, options: options, control: control, losses: losses, trouble: trouble,
      fromGuest: outward.reading, toGuest: inward.writing)
    switch options.hostEnd {
    case .stdio(let input, let output):
      let end = try StdioEnd(
        name: name, input: input, output: output, onEscape: options.onEscape, trouble: trouble)
      hostPath = nil
      terminal = end.openTerminal()
      thread = Mutex(try host.start(end))
    case .pty(let link):
      let end = try PtyEnd(name: name, link: link, window: window)
      hostPath = end.path
      terminal = end.openTerminal()
      thread = Mutex(try host.start(end))
    case .socket(let path):
      let end = try SocketEnd(name: name, path: path, trouble: trouble)
      hostPath = path
      terminal = nil
      thread = Mutex(try host.start(end))
    case .file(let path):
      let end = try LogFileEnd(name: name, path: path, trouble: trouble)
      hostPath = path
      terminal = nil
      thread = Mutex(try host.start(end))
    }
    hostResized()
  }

  deinit { shutDown() }

  // MARK: Device

  /// `struct virtio_console_config`: columns, rows, the number of ports, and a field for emergency
  /// output, which is not offered.
  public func configuration() -> [UInt8] {
    let size = window.size
    return [
      UInt8(truncatingIfNeeded: size.columns), UInt8(truncatingIfNeeded: size.columns >> 8),
      UInt8(truncatingIfNeeded: size.rows), UInt8(truncatingIfNeeded: size.rows >> 8),
      1, 0, 0, 0, 0, 0, 0, 0,
    ]
  }

  /// Nothing depends on the driver's choice: one that has not accepted the size does not look at it.
  public func driverAccepted(_ features: Features) {}

  /// Forgets how far the driver's output had got. Input that nobody has taken waits for the next driver.
  public func reset() { progress.forget() }

  /// Told when the window's size has changed.
  public var configurationChange: ChangeSignal { window.change }

  /// Starts the receive queue (0) or the transmit queue (1).
  public func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    precondition(index == 0 || index == 1, "a console has two queues")
    do throws(Errno) {
      if index == 0 {
        let body = ConsoleInputQueue(name: name, pipe: try input.duplicate(), trouble: trouble)
        return try QueueWorker.start(
          name: "\(name)-rx", queue: queue, body: body, wiring: wiring, statistics: statistics[0])
      } else {
        let body = ConsoleOutputQueue(
          name: name, pipe: try output.duplicate(), progress: progress, trouble: trouble)
        return try QueueWorker.start(
          name: "\(name)-tx", queue: queue, body: body, wiring: wiring, statistics: statistics[1])
      }
    } catch {
      throw DeviceError("start \(name)", error)
    }
  }

  // MARK: The host's side

  /// How long `print` waits for a host's end that takes nothing.
  private static let printPatience = Duration.seconds(1)

  /// Prints what does not come through the transmit queue, such as what a guest says before it has a
  /// driver. It is shown before everything that comes through the queue later. From any thread.
  public func print(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      do throws(Errno) {
        done += try output.write(bytes.span.extracting(done...))
      } catch .again {
        let found = try? Poll.wait(for: .writable, on: output, timeout: Self.printPatience)
        guard let found, !found.isEmpty else { break }
      } catch {
        break
      }
    }
    losses.output.wrappingAdd(UInt64(bytes.count - done), ordering: .relaxed)
  }

  /// The size that the guest is told; zeros where nobody knows.
  public var size: TerminalSize { window.size }

  /// Tells the guest another size.
  public func resize(to size: TerminalSize) { window.set(size) }

  /// Looks at the size of the host's terminal, and tells the guest if it has changed: for whoever
  /// receives SIGWINCH. A size that was chosen in the options stays.
  public func hostResized() {
    switch terminal {
    case .some(let terminal): window.follow(Terminal(terminal.raw))
    case .none: break
    }
  }

  /// Begins what `shutDown()` completes, and does not wait: so several consoles end together.
  public func beginShutDown() { control.end() }

  /// Sends the last output, within a quarter of a second, then lets go of the host's end: terminal settings come
  /// back, the socket or link is removed, clients are gone.
  ///
  /// Stop the queues first. Queues that still run find that nobody reads and nothing comes. Calling it again
  /// does nothing. It must not be called in a callback of the options.
  public func shutDown() {
    control.end()
    if let thread = thread.withLock({ $0.take() }) { thread.join() }
  }
}
