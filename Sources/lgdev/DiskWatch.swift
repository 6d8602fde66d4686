// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Logging

/// Looks from time to time whether the size of a disk's image has changed.
///
/// Nothing tells of that for files and block devices alike, and what inotify tells of a file it tells for
/// each write, too.
final class DiskWatch {
  private static let interval = Duration.seconds(1)

  private let timer: TimerFD
  private let logger: Logger
  private var disks: [(device: BlockDevice, trouble: String?)]

  /// Watches the disks among some devices.
  ///
  /// - Returns: nil where there is none.
  init?(_ devices: [MadeDevice], _ logger: Logger) throws(HostError) {
    disks = devices.compactMap { $0.device as? BlockDevice }.map { ($0, nil) }
    guard !disks.isEmpty else { return nil }
    self.logger = logger
    do throws(Errno) {
      timer = try TimerFD()
      try timer.set(after: Self.interval, every: Self.interval)
    } catch {
      throw HostError("the system gives no timer: \(error)")
    }
  }

  /// Readable when it is time to look.
  var descriptor: Int32 { timer.descriptor.raw }

  /// Looks at all images, and says what has changed.
  func look() {
    _ = try? timer.expirations()
    for index in disks.indices {
      let disk = disks[index].device
      let (before, noteBefore) = (disk.byteCount, disk.sizeNote)
      do throws(DeviceError) {
        try disk.refreshSize()
        disks[index].trouble = nil
        if disk.byteCount != before {
          logger.info("\(disk.name): its size is \(byteCountText(disk.byteCount)) now")
        }
        if let note = disk.sizeNote, note != noteBefore { logger.warning("\(disk.name): \(note)") }
      } catch {
        // Once, not each second.
        guard disks[index].trouble != error.description else { continue }
        disks[index].trouble = error.description
        logger.warning("\(disk.name): its size stays as it was: \(error)")
      }
    }
  }
}
