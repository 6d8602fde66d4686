// SPDX-License-Identifier: Apache-2.0

import Linux

/// A console whose output is appended to a file, and which has no input.
struct LogFileEnd: HostEnd, ~Copyable {
  static var watchesKeys: Bool { false }

  private let name: String
  private let path: String
  private let file: FileDescriptor
  private let trouble: TroubleReport

  init(name: String, path: String, trouble: TroubleReport) throws(DeviceError) {
    self.name = name
    self.path = path
    self.trouble = trouble
    let action = "open \(path) for \(name)"
    do throws(Errno) {
      file = try .open(path, [.writeOnly, .create, .append, .nonBlocking, .noControllingTerminal])
    } catch .isDirectory {
      throw DeviceError(action, "it is a directory; name a file in it")
    } catch {
      throw DeviceError(action, error)
    }
  }

  var arrivals: WakeSource { .none }
  var isAttended: Bool { true }
  var outlet: Int32 { file.raw }

  mutating func receive(into buffer: inout [UInt8], hasRoom: Bool) -> Int { 0 }

  mutating func send(_ bytes: [UInt8], _ range: Range<Int>) -> Sent {
    do throws(Errno) {
      return .taken(try file.write(bytes.span.extracting(range)))
    } catch .again {
      return .nothing
    } catch {
      // A full disk may have room again for what comes next.
      trouble.report("\(name): cannot write to \(path): \(error)")
      return .lost(range.count)
    }
  }

  mutating func close() {}
}
