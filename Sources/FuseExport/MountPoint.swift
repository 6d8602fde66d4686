// SPDX-License-Identifier: Apache-2.0
//
// MountPoint: the place where an export is mounted, looked at beforehand, so that what is wrong is told in a
// line that says what to do.

import Linux

/// Where an export is mounted.
struct MountPoint {
  let path: String
  /// Whether it is a plain file, which becomes the disk.
  let isFile: Bool

  /// Looks at it.
  ///
  /// - Parameters:
  ///   - imageCount: how many disks are to be shown there.
  ///   - coversEntries: whether a directory may have entries.
  ///   - allowsOthers: whether other users are to be let in.
  init(
    _ path: String, imageCount: Int, coversEntries: Bool, allowsOthers: Bool
  ) throws(ExportError) {
    let resolved: String
    let status: FileStatus
    do throws(Errno) {
      status = try FileSystem.status(of: path)
      resolved = try FileSystem.resolve(path)
    } catch {
      throw Self.unreachable(path, error)
    }
    if let mounted = Self.fuseMount(at: resolved) {
      // The kernel may remember what stat(2) tells of a mount whose server is gone.
      do throws(Errno) { _ = try FileSystem.freeByteCount(at: resolved) } catch {
        if error == .notConnected || error == .connectionAborted {
          throw Self.unreachable(path, error)
        }
      }
      throw ExportError(
        "mount point \(path) is busy: \(mounted) is mounted there; unmount it with"
          + " 'fusermount3 -u \(path)', or choose another")
    }
    switch status.kind {
    case .directory:
      let isEmpty: Bool
      do throws(Errno) {
        isEmpty = coversEntries ? true : try FileSystem.isEmptyDirectory(resolved)
      } catch {
        throw ExportError("mount point \(path): \(error)")
      }
      guard isEmpty else {
        throw ExportError(
          "mount point \(path) is not empty; choose an empty directory, or cover what is in it with"
            + " -o nonempty")
      }
    case .regular:
      guard imageCount == 1 else {
        throw ExportError(
          "mount point \(path) is a file, which can become one disk, not \(imageCount); choose a"
            + " directory")
      }
    default:
      throw ExportError(
        "mount point \(path) is neither a directory nor a plain file; make one with mkdir")
    }
    if Process.effectiveUser != 0 {
      // fusermount3 asks for it, in two lines.
      do throws(Errno) { try FileSystem.checkWritable(resolved) } catch {
        throw ExportError(
          "mount point \(path): \(error); only root mounts where it may not write: choose one of"
            + " your own")
      }
      // Likewise. Who may not read the file hears it from fusermount3.
      if allowsOthers, let bytes = try? FileSystem.contents(of: Self.settings, limit: 1 << 20),
        !Self.letsUsersAllowOthers(bytes)
      {
        throw ExportError(
          "-o allow_other is root's as long as \(Self.settings) has no line 'user_allow_other'; add it, or"
            + " leave allow_other out")
      }
    }
    self.path = resolved
    isFile = status.kind == .regular
  }

  /// What fusermount3(1) reads.
  private static let settings = "/etc/fuse.conf"

  /// Whether a text like /etc/fuse.conf lets users give others a look: it has a word on a line, and comments after '#'.
  static func letsUsersAllowOthers(_ text: [UInt8]) -> Bool {
    String(decoding: text, as: UTF8.self).split(separator: "\n").contains { line in
      line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace) == ["user_allow_other"]
    }
  }

  private static func unreachable(_ path: String, _ error: Errno) -> ExportError {
    switch error {
    case .notFound:
      ExportError("mount point \(path): there is no such directory; make it with 'mkdir \(path)'")
    // The second one: of a request that was on its way when the process ended.
    case .notConnected, .connectionAborted:
      ExportError(
        "mount point \(path) is stale: the process that served it is gone; unmount it with"
          + " 'fusermount3 -u \(path)' and try again")
    default:
      ExportError("mount point \(path): \(error)")
    }
  }

  /// The FUSE file system that is mounted on a path, such as `fuse.lgdev (disk.img)`; nil for none.
  private static func fuseMount(at path: String) -> String? {
    guard let mount = MountTable.read()?.top(at: path) else { return nil }
    let isFuse = mount.kind == "fuse" || mount.kind.hasPrefix("fuse.")
    return isFuse ? "\(mount.kind) (\(mount.source))" : nil
  }
}
