// SPDX-License-Identifier: Apache-2.0

import Backends

/// The words behind `-o` for libfuse.
enum MountWords {
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
