// SPDX-License-Identifier: Apache-2.0
//
// MountHolders: who keeps a mount from being unmounted, as far as this user may see.
//
// Only names are looked at, never the files themselves: one of them may be on storage that hangs.

import Linux

/// Who uses a mount.
struct MountHolders {
  private let path: String

  /// - Parameter path: where it is mounted, without links.
  init(of path: String) { self.path = path }

  /// A few words for each holder, such as `/dev/loop0 (disk, mounted on /somewhere)` and `cat (process 4711)`.
  var words: [String] {
    let table = MountTable.read()
    return loopDevices(table) + mounts(table) + processes
  }

  /// The path of a file below the mount point, from there; `.` for the mount point itself, nil for others.
  private func relative(_ name: String) -> String? {
    if name == path { return "." }
    return name.hasPrefix(path + "/") ? String(name.dropFirst(path.count + 1)) : nil
  }

  /// Block devices that the kernel has on a file here; no process need have it open.
  private func loopDevices(_ table: MountTable?) -> [String] {
    let names = ((try? FileSystem.names(in: "/sys/block")) ?? []).filter { $0.hasPrefix("loop") }
    return names.sorted().compactMap { name in
      let path = "/sys/block/\(name)/loop/backing_file"
      guard let bytes = try? FileSystem.contents(of: path, limit: 1 << 16),
        let file = relative(String(decoding: bytes.filter { $0 != 0x0a }, as: UTF8.self))
      else { return nil }
      let device = "/dev/\(name)"
      let places = (table?.entries ?? []).filter {
        $0.source == device || $0.source.hasPrefix("\(device)p")
      }
      let mounted = places.map { ", mounted on \($0.path)" }.joined()
      return "\(device) (\(file)\(mounted))"
    }
  }

  /// What is mounted on something of this mount.
  private func mounts(_ table: MountTable?) -> [String] {
    guard let table,
      let own = table.entries.last(where: { $0.path == path && $0.kind.hasPrefix("fuse") })
    else { return [] }
    let inner = table.entries.filter { $0.parent == own.id }
    return inner.map { "\($0.source) (mounted on \($0.path))" }
  }

  /// Processes that have a file open here, or stand here.
  private var processes: [String] {
    let numbers = ((try? FileSystem.names(in: "/proc")) ?? []).compactMap { Int32($0) }
    return numbers.sorted().filter { $0 != Process.id && isHere($0) }.map { number in
      let name = (try? FileSystem.contents(of: "/proc/\(number)/comm", limit: 64)) ?? []
      return "\(String(decoding: name.filter { $0 != 0x0a }, as: UTF8.self)) (process \(number))"
    }
  }

  private func isHere(_ process: Int32) -> Bool {
    let folder = "/proc/\(process)"
    let descriptors = (try? FileSystem.names(in: "\(folder)/fd")) ?? []
    let links = ["\(folder)/cwd", "\(folder)/root"] + descriptors.map { "\(folder)/fd/\($0)" }
    return links.contains { link in
      guard let target = try? FileSystem.symbolicLinkTarget(link) else { return false }
      return relative(target) != nil
    }
  }
}
