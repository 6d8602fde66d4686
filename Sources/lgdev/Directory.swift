// SPDX-License-Identifier: Apache-2.0

import Linux

/// Directories in which this program makes files.
enum Directory {
  /// The directory of a path.
  static func holding(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Checks that a file can be made at a path.
  ///
  /// - Parameter purpose: what the error begins with: the option or the device.
  static func check(holding path: String, for purpose: String) throws(HostError) {
    let directory = holding(path)
    do throws(Errno) {
      try FileSystem.checkDirectoryIsWritable(directory)
    } catch {
      switch error {
      case .notFound:
        throw HostError("\(purpose): there is no directory \(directory); make it with mkdir")
      case .notDirectory:
        throw HostError("\(purpose): \(directory) is no directory; name one")
      case .accessDenied, .permission, .readOnlyFileSystem:
        throw HostError(
          "\(purpose): no right to make a file in \(directory); choose another directory")
      default:
        throw HostError("\(purpose): \(directory): \(error)")
      }
    }
  }
}
