// SPDX-License-Identifier: Apache-2.0
//
// QueueWorker: one thread for one queue.
//
// The queue is moved into the thread and comes back from `RunningQueue.stop()`; in between nobody else
// can reach it. For stops and new memory the control thread interrupts the body, which finishes what is in flight and
// returns, then what is to be changed is changed, then the same body goes on. New descriptors to kick and call must
// not wait for storage, and nobody for them: the worker takes those between two requests (see QueuePort.swift).

public import Linux
public import VirtioRing

/// Starts queue workers.
public enum QueueWorker {
  /// Starts a thread that serves `queue` with `body`.
  ///
  /// - Parameters:
  ///   - name: for the thread; the first 15 bytes of it show in `top -H`.
  ///   - queue: moved in; it comes back from `RunningQueue.stop()`.
  ///   - body: what serves it.
  ///   - wiring: how the driver kicks and is called.
  ///   - statistics: where the queue's counters are kept. No other worker has them meanwhile: what belongs to a
  ///     queue that runs is `.busy`, since two workers on one ring would each do every request.
  /// - Throws: `.busy`, and what the system refused.
  public static func start<Body: QueueBody & ~Copyable>(
    name: String, queue: consuming Virtqueue, body: consuming Body,
    wiring: consuming QueueWiring, statistics: QueueStatistics
  ) throws(Errno) -> RunningQueue {
    let claim = try QueueClaim(statistics)
    let control = try WorkerControl(kick: wiring.ownKick())
    let counters = statistics.current
    let meter = QueueMeter(counters)
    // The thread that begins goes on writing where this one ends.
    meter.begin(queue.configuration)
    let port = QueuePort(control: control, wiring: wiring, meter: meter)
    let state = WorkerState(
      queue: queue, body: body, port: port, control: control, claim: claim)
    do {
      let thread = try WorkerThread.start(name: name, inheriting: .process, state: state) {
        (state: consuming WorkerState<Body>) in state.run()
      }
      return RunningQueue(thread: thread, control: control)
    } catch {
      counters.noteStopped()
      throw error
    }
  }
}

/// What a worker's thread owns.
private struct WorkerState<Body: QueueBody & ~Copyable>: ~Copyable, Sendable {
  var queue: Virtqueue
  var body: Body
  var port: QueuePort
  let control: WorkerControl
  /// Goes with the worker's state, before anybody has the queue back.
  let claim: QueueClaim

  /// Serves until stopped. - Returns: the queue.
  consuming func run() -> Virtqueue {
    // A broken queue is reported once, however often the body is entered again.
    var isReported = false
    while true {
      do throws(RingError) {
        try body.run(&queue, &port)
      } catch {
        port.call(&queue)
        if !isReported { report(error) }
        isReported = true
        port.park()
      }
      guard let wish = control.take() else { continue }
      switch consume wish {
      case .stop:
        port.takeMail()
        // What was given back last must not wait for a call until the queue runs again.
        port.call(&queue)
        port.meter.end()
        control.grant()
        return queue
      case .replaceMemory(let memory):
        do throws(RingError) {
          try queue.replaceMemory(memory)
        } catch {
          report(error)
          isReported = true
        }
      }
      control.grant()
    }
  }

  private func report(_ error: RingError) {
    port.meter.fail()
    port.wiring.onFault?(error)
  }
}

/// A queue that a worker serves. Stop it to get the queue back.
public struct RunningQueue: ~Copyable, Sendable {
  private let thread: WorkerThread<Virtqueue>
  private let control: WorkerControl

  init(thread: consuming WorkerThread<Virtqueue>, control: WorkerControl) {
    self.thread = thread
    self.control = control
  }

  /// Lets the worker begin to stop, and does not wait for it. Whoever stops many asks them all first.
  ///
  /// Nothing but `stop()` may follow.
  public func requestStop() { control.requestStop() }

  /// Finishes the requests in flight, ends the thread and returns the queue.
  public consuming func stop() -> Virtqueue {
    control.requestStop()
    do {
      let nudging = Nudging()
      control.awaitGrant { thread.nudge(nudging) }
    }
    return thread.join()
  }

  /// Goes on in another memory table. When this returns nothing uses the old one any more.
  ///
  /// A new table without the ring breaks the queue, which is reported as every fault.
  public func replaceMemory(_ memory: GuestMemory) {
    control.send(.replaceMemory(memory))
    let nudging = Nudging()
    control.awaitGrant { thread.nudge(nudging) }
  }

  /// Listens to another kick descriptor; nil to look from time to time.
  ///
  /// It does not wait for requests in flight. The worker takes the descriptor between two requests and then looks
  /// at the queue, so no kick that came to the old one is lost.
  public func replaceKick(_ kick: consuming FileDescriptor?) {
    var mail = WorkerControl.Mail()
    mail.kick = WorkerControl.Mail.NewKick(descriptor: kick)
    post(mail)
  }

  /// Calls the driver in another way, and once as soon as the worker has taken that: whatever the old descriptor
  /// was told may not have been heard. nil for a driver that looks by itself.
  ///
  /// It does not wait for requests in flight.
  public func replaceCall(_ call: consuming CallTarget?) {
    var mail = WorkerControl.Mail()
    mail.call = WorkerControl.Mail.NewCall(target: call)
    post(mail)
  }

  private func post(_ mail: consuming WorkerControl.Mail) {
    let nudging = Nudging()
    control.post(mail) { thread.nudge(nudging) }
  }
}
