// SPDX-License-Identifier: Apache-2.0
//
// ExportDaemon: the life of `lgdev export`.
//
//     open and lock the images -> mount -> wait -> unmount

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
    awaitEnd(export, bell.descriptor)
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

  private static func awaitEnd(_ export: Export, _ bell: Int32) {
    while true {
      var entries: InlineArray<2, PollEntry> = [
        PollEntry(fd: export.endDescriptor), PollEntry(fd: bell),
      ]
      guard (try? Poll.wait(&entries, timeout: nil)) != nil else { return }
      if entries[0].isReady || entries[1].isReady { return }
    }
  }
}
