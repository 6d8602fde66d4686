// SPDX-License-Identifier: Apache-2.0
//
// ExportDaemon: the life of `lgdev export`.
//
//     open and lock the images -> mount -> wait -> unmount
//
// What can be written is unmounted by a signal as `fusermount3 -u` would do it, not while something uses it: under a
// loop device's file system the system keeps what was written, and has nowhere to put it once this program has gone.
// So it waits for who uses it; another signal ends it all the same. What is read only loses nothing.

import FuseExport
import Linux
import Logging

enum ExportDaemon {
  /// Shows the images of a plan until they are unmounted or a signal comes.
  ///
  /// - Parameter mounted: called once all is there.
  static func run(_ plan: ExportPlan, mounted: () -> Void = {}) throws(HostError) {
    // The warnings of an image are many; who wants to see them all says so.
    let logger = Logger(label: "lgdev") { _ in
      StandardErrorLog(level: plan.isVerbose ? .info : .warning)
    }
    // Until here signals end the program as they do by themselves, as storage may hang when an image is opened.
    let export = try make(plan, logger)
    // Before any thread is started, so that no thread takes these signals.
    let signals = try SignalFD.taking(SignalWatch.signals)
    let bell = try Bell()
    let lastResort = LastResort(removeSockets: { export.detach() })
    let watch = try SignalWatch(
      signals, .init(resize: {}, end: { bell.ring() }, giveUp: { lastResort.end() }))
    defer { watch.finish() }
    do throws(ExportError) { try export.start() } catch { throw HostError(error.description) }
    for warning in export.warnings { logger.warning("\(warning)") }
    for line in export.summaries { logger.info("\(line)") }
    mounted()
    if plan.isVerbose {
      // The kernel's first message is answered when somebody looks.
      _ = try? FileSystem.status(of: export.mountPoint)
      logger.info("\(export.mountPoint): mounted, \(export.agreement)")
    }
    let inspector: ImageInspector
    do throws(HostError) { inspector = try ImageInspector(export) } catch {
      export.stop()
      throw error
    }
    if !awaitEnd(export, bell.descriptor) { unmount(export, watch, lastResort, logger) }
    watch.expectEnd()
    export.stop()
    inspector.finish()
  }

  private static func make(
    _ plan: ExportPlan, _ logger: Logger
  ) throws(HostError) -> Export {
    var options = plan.options
    options.onTrouble = { line in logger.warning("\(line)") }
    do throws(ExportError) {
      return try Export(
        plan.images.map { .image(path: $0, writable: plan.isWritable) }, options)
    } catch {
      throw HostError(error.description)
    }
  }

  /// Waits until it is unmounted, or is to end. - Returns: whether it is unmounted.
  private static func awaitEnd(_ export: Export, _ bell: Int32, timeout: Duration? = nil) -> Bool {
    var entries: InlineArray<2, PollEntry> = [
      PollEntry(fd: export.endDescriptor), PollEntry(fd: bell),
    ]
    _ = try? Poll.wait(&entries, timeout: timeout)
    return entries[0].isReady
  }

  /// How often it is tried to unmount what something uses.
  private static let interval = Duration.milliseconds(500)

  /// Unmounts. What can be written must not be used by anybody any more.
  private static func unmount(
    _ export: Export, _ watch: SignalWatch, _ lastResort: LastResort, _ logger: Logger
  ) {
    let place = export.mountPoint
    guard export.isWritable else {
      if let line = export.unmountReadOnly() { logger.warning("\(line)") }
      return
    }
    var told = ""
    while !export.unmount() {
      let users = export.users
      lastResort.becomesLoss(place, users)
      watch.holdOn()
      if users != told {
        let way =
          "another SIGTERM or SIGINT ends this process at once and may lose what was written"
        logger.warning("\(place): used by \(users); waiting for that to end; \(way)")
      }
      told = users
      if awaitEnd(export, -1, timeout: interval) { return }
    }
    // Another mount namespace may have a copy of the mount.
    if awaitEnd(export, -1, timeout: interval) { return }
    let elsewhere = "processes that have it mounted in a mount namespace of their own"
    lastResort.becomesLoss(place, elsewhere)
    watch.holdOn()
    logger.warning("\(place): unmounted here, and used by \(elsewhere); waiting for them to end")
    _ = awaitEnd(export, -1)
  }
}
