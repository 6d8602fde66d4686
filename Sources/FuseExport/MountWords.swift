// SPDX-License-Identifier: Apache-2.0

import Backends

/// The words behind `-o` for libfuse.
enum MountWords {
  /// How long the images' paths may be, in bytes. All words together have a page (mount(2)).
  private static let sourceLimit = 1024

  /// What `mount` and `df` show as the device: the images' paths, or as much of that as may be.
  static func source(_ paths: [String]) -> String {
    let all = paths.joined(separator: " ")
    guard all.utf8.count > sourceLimit, let first = paths.first else { return all }
    let others = paths.count > 1 ? " and \(paths.count - 1) more" : ""
    guard first.utf8.count > sourceLimit else { return first + others }
    return String(decoding: first.utf8.prefix(sourceLimit), as: UTF8.self) + "..." + others
  }

  /// All of them, with commas between.
  ///
  /// - Parameter source: what `mount` and `df` show as the device.
  static func text(_ tree: ExportTree, _ options: ExportOptions, source: String) -> String {
    var words = ["subtype=lgdev", "fsname=\(escaped(source))"]
    if !tree.images.contains(where: { $0.view.isWritable }) { words.append("ro") }
    // The kernel looks at owners and permission bits, so that others see what the bits let them.
    words.append("default_permissions")
    if FuseConnection.usesRing { words.append("io_uring") }
    if options.allowsOthers { words.append("allow_other") }
    if options.unmountsItself { words.append("auto_unmount") }
    return (words + options.mountOptions.map(escaped)).joined(separator: ",")
  }

  /// A word that may hold a comma or a backslash.
  private static func escaped(_ word: String) -> String {
    word.reduce(into: "") { text, character in
      if character == "," || character == "\\" { text.append("\\") }
      text.append(character)
    }
  }
}
