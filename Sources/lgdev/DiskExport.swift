// SPDX-License-Identifier: Apache-2.0
//
// DiskExport: the disks of `lgdev serve --export`, shown as files while their guests run.

import Backends
import FuseExport
import Linux
import Logging
import Synchronization

/// Served disks as files. They are unmounted when this object goes, at the latest.
final class DiskExport: Sendable {
  private let export: Export
  private let logger: Logger
  private let isStopped = Atomic<Bool>(false)

  /// Looks whether a plan has disks to show.
  static func check(_ mountPoint: String?, _ devices: [NamedDevice]) throws(UsageError) {
    guard mountPoint != nil, !devices.contains(where: { $0.device.type == .block }) else { return }
    throw UsageError("--export is about disks, and there is none; give --block")
  }

  /// Shows the disks among some devices.
  ///
  /// - Returns: nil where there is no mount point.
  init?(
    _ mountPoint: String?, _ devices: [MadeDevice], _ logger: Logger
  ) throws(HostError) {
    guard let mountPoint else { return nil }
    self.logger = logger
    var options = ExportOptions(mountPoint: mountPoint)
    options.onTrouble = { line in logger.warning("\(line)") }
    let disks = devices.compactMap { $0.device as? BlockDevice }
    do throws(ExportError) {
      export = try Export(disks.map { .disk(name: $0.name, $0) }, options)
      try export.start()
    } catch {
      throw HostError("--export: \(error)")
    }
    logger.info("\(mountPoint): shows \(disks.map(\.name).joined(separator: ", "))")
  }

  /// Looks whether the disks' images are still there. To be called from time to time.
  func inspect() { export.inspect() }

  /// Unmounts, when requests under way have finished.
  func stop() {
    // Nothing is lost: guests' disks are shown read-only.
    if !isStopped.exchange(true, ordering: .relaxed), let line = export.unmountReadOnly() {
      logger.warning("\(line)")
    }
    export.stop()
  }

  /// Unmounts without waiting for anything.
  func detach() { export.detach() }

  deinit { stop() }
}
