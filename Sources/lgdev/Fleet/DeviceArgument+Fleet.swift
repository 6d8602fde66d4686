// SPDX-License-Identifier: Apache-2.0

import Backends

extension DeviceArgument {
  /// What on the host only one device can have, and whether it is content to share it.
  var resource: (name: String, isShared: Bool)? {
    switch self {
    case .block(let disk): return ("image \(disk.path)", disk.isReadOnly)
    case .net(let net):
      switch net.tap {
      case .create(let name?): return ("tap \(name)", false)
      case .create(nil): return nil
      case .fd(let number): return ("descriptor \(number)", false)
      }
    case .console(let console):
      switch console.end {
      case .stdio: return ("the terminal (stdio)", false)
      case .pty(let link): return link.map { ("link \($0)", false) }
      case .socket(let path): return ("socket \(path)", false)
      case .file(let path): return ("file \(path)", false)
      }
    case .rng: return nil
    }
  }

  /// With its paths beginning at a directory.
  func relative(to directory: String?) -> DeviceArgument {
    switch self {
    case .block(var disk):
      disk.path = disk.path.relative(to: directory)
      return .block(disk)
    case .net: return self
    case .console(var console):
      switch console.end {
      case .stdio, .pty(nil): break
      case .pty(let link?): console.end = .pty(link: link.relative(to: directory))
      case .socket(let path): console.end = .socket(path: path.relative(to: directory))
      case .file(let path): console.end = .file(path: path.relative(to: directory))
      }
      return .console(console)
    case .rng(var rng):
      rng.source = rng.source.map { $0.relative(to: directory) }
      return .rng(rng)
    }
  }
}

extension String {
  /// This path, which begins at a directory unless it begins at the root.
  func relative(to directory: String?) -> String {
    guard let directory, !hasPrefix("/") else { return self }
    return directory.hasSuffix("/") ? directory + self : "\(directory)/\(self)"
  }
}
