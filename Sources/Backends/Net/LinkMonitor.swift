// SPDX-License-Identifier: Apache-2.0

import Linux
import Synchronization

/// Watches whether the host's interface is up, on a thread of its own, until it is let go.
final class LinkMonitor: Sendable {
  private let stop: EventFD
  private let thread: Mutex<WorkerThread<Bool>?>

  /// Tells `link` how the interface is, now and at each change.
  ///
  /// - Parameters:
  ///   - name: the device's, for the thread.
  ///   - tap: a descriptor of the tap. The interface is followed by it, under whatever name.
  init(name: String, tap: consuming FileDescriptor, link: NetLink) throws(Errno) {
    stop = try EventFD()
    // First listen, then look: what changes in between is seen twice, not missed.
    let events = try LinkEvents()
    let watch = LinkWatch(
      tap: tap, events: events, stop: try stop.descriptor.duplicate(), link: link)
    watch.look()
    var started = Optional(
      try WorkerThread.start(name: "\(name)-link", state: watch) {
        (watch: consuming LinkWatch) in
        watch.run()
        return true
      })
    thread = Mutex(started.take())
  }

  deinit {
    stop.signal()
    let thread = thread.withLock { $0.take() }
    _ = thread?.join()
  }
}

/// What the monitor's thread owns.
private struct LinkWatch: ~Copyable, Sendable {
  let tap: FileDescriptor
  let events: LinkEvents
  let stop: FileDescriptor
  let link: NetLink

  consuming func run() {
    var entries: InlineArray<2, PollEntry> = [
      PollEntry(fd: stop.raw), PollEntry(fd: events.descriptor.raw),
    ]
    while true {
      do throws(Errno) {
        _ = try Poll.wait(&entries)
      } catch {
        // Out of kernel memory: the link stays as it was seen last.
        return
      }
      if entries[0].isReady { return }
      events.drain()
      look()
    }
  }

  /// Tells the link how the interface is.
  func look() {
    do throws(Errno) {
      let interface = try Tap(adopting: tap.duplicate()).interface
      link.setCarrier(try interface.hasCarrier())
    } catch {
      if TapBackend.isGone(error) { link.lose() }
    }
  }
}
