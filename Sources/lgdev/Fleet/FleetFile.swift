// SPDX-License-Identifier: Apache-2.0
//
// FleetFile: a file with several guests turned into a plan.
//
//     log-level: info
//     guests:
//       web:
//         kernel: vmlinux
//         memory: 64M
//         append: root=/dev/vda
//         block: path=web.img,ro
//         net: {tap: tap0, bridge: br0}
//         console: [stdio, "file:web.log"]
//
// Keys are the options of the command line, and a device is written as there, or as a map of its keys.
// All that is wrong is found in one reading, each with its line and column. The file's paths begin at its folder.

import Linux

/// What is wrong with a file, one line for each trouble.
struct FleetFileError: Error, Equatable {
  let lines: [String]

  /// The most that are shown. Who has more has given another kind of file.
  private static let limit = 50

  init(_ errors: [TextError], path: String) {
    let errors = errors.sorted { $0.position < $1.position }
    let rest = errors.count - Self.limit
    lines =
      errors.prefix(Self.limit).map {
        "\(path):\($0.position.line):\($0.position.column): \($0.message)"
      } + (rest > 0 ? ["\(path): and \(rest) more"] : [])
  }
}

enum FleetFile {
  /// The most bytes that a file may have. A guest takes a few hundred.
  private static let sizeLimit: UInt64 = 1 << 20

  /// Reads a file.
  ///
  /// - Throws: `HostError` where it cannot be read, `FleetFileError` for what is wrong in it.
  static func plan(_ path: String) throws -> FleetPlan {
    let bytes = try bytes(path)
    let directory = Directory.holding(path)
    var reader = FleetReader(directory: directory == "." ? nil : directory)
    do throws(TextError) {
      try checkEncoding(bytes)
      let plan = try reader.plan(bytes)
      if let plan, reader.errors.isEmpty { return plan }
    } catch {
      // Behind it nothing was read.
      throw FleetFileError(reader.errors + [error], path: path)
    }
    throw FleetFileError(reader.errors, path: path)
  }

  private static func bytes(_ path: String) throws(HostError) -> [UInt8] {
    do throws(Errno) {
      // A FIFO without a writer would make open wait.
      let file = try FileDescriptor.open(
        path, [.readOnly, .nonBlocking, .noControllingTerminal])
      let status = try file.status()
      switch status.kind {
      case .regular: break
      case .directory: throw Errno.isDirectory
      default: throw Errno.invalidArgument
      }
      guard status.size <= sizeLimit else { throw Errno.fileTooLarge }
      var bytes = [UInt8](repeating: 0, count: Int(status.size))
      let count = try file.read(into: &bytes, at: 0)
      bytes.removeSubrange(count...)
      return bytes
    } catch .invalidArgument {
      throw HostError("\(path): it is no regular file; name one")
    } catch .fileTooLarge {
      throw HostError("\(path): it has more than 1 MiB, which no list of guests needs")
    } catch .isDirectory {
      throw HostError("\(path): it is a directory; name a file in it")
    } catch .notFound {
      throw HostError("\(path): there is no such file; see 'lgdev help config check'")
    } catch {
      throw HostError("\(path): \(error)")
    }
  }

  /// Tells of the first byte that is no UTF-8.
  private static func checkEncoding(_ bytes: [UInt8]) throws(TextError) {
    do throws(UTF8.ValidationError) {
      _ = try UTF8Span(validating: bytes.span)
    } catch {
      throw TextError(
        position: TextPosition(after: bytes.prefix(error.byteOffsets.lowerBound)),
        message: "this is not UTF-8")
    }
  }
}
