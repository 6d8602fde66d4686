// SPDX-License-Identifier: Apache-2.0

import FuseExport
import Linux

/// Looks after the images of an export, each second, on a thread of its own: storage that hangs keeps whoever
/// looks, and the control thread must hear of the end.
final class ImageInspector {
  private static let interval = Duration.seconds(1)

  private let bell: Bell
  private var thread: WorkerThread<Void>?

  /// Begins to look.
  init(_ export: Export) throws(HostError) {
    let bell = try Bell()
    self.bell = bell
    do throws(Errno) {
      thread = try WorkerThread.start(name: "images", state: export) { export in
        var isOver = false
        while !isOver {
          export.inspect()
          var entries: InlineArray<1, PollEntry> = [PollEntry(fd: bell.descriptor)]
          _ = try? Poll.wait(&entries, timeout: Self.interval)
          isOver = entries[0].isReady
        }
      }
    } catch {
      throw HostError("the system gives no thread that looks after images: \(error)")
    }
  }

  /// Ends it, when it has looked.
  func finish() {
    bell.ring()
    if let thread = thread.take() { thread.join() }
  }
}
