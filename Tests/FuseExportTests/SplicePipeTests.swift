// SPDX-License-Identifier: Apache-2.0

import Backends
import Linux
import Testing

@testable import FuseExport

@Suite struct SplicePipeTests {
  private static let size = 512 << 10
  private static let count = SplicePipe.threshold

  /// A disk of bytes that differ, and a file that stands for the connection.
  private func withDisk(
    _ body: (OpenFile, _ image: borrowing FileDescriptor, _ replies: borrowing FileDescriptor)
      throws
      -> Void
  ) throws {
    let image = try Memfd.create(name: "image", size: UInt64(Self.size))
    _ = try image.write((0..<Self.size).map { UInt8(truncatingIfNeeded: $0 / 3) }, at: 0)
    let view = try DiskView(path: "/proc/self/fd/\(image.raw)", writable: true)
    let options = ExportOptions(mountPoint: "/nowhere")
    let shown = try ExportImage(view, name: "disk", options, trouble: TroubleReport(nil))
    let tree = ExportTree([shown], isFile: false, options)
    let replies = try Memfd.create(name: "replies", size: 0)
    try body(try tree.open(.disk(image: 0), forWriting: false), image, replies)
  }

  private func reply(to unique: UInt8, from offset: Int) -> [UInt8] {
    let size = UInt32(16 + Self.count)
    let header =
      (0..<4).map { UInt8(truncatingIfNeeded: size >> ($0 * 8)) } + [0, 0, 0, 0]
      + [unique, 0, 0, 0, 0, 0, 0, 0]
    return header + (offset..<offset + Self.count).map { UInt8(truncatingIfNeeded: $0 / 3) }
  }

  @Test("a large read is answered with its header and the image's bytes, on a page or not")
  func large() throws {
    try withDisk { file, _, replies in
      let pipe = try #require(SplicePipe(to: replies.raw))
      pipe.unique = 5
      #expect(pipe.answer(file, 4096, Self.count))
      #expect(pipe.answer(file, 513, Self.count))
      var bytes = [UInt8](repeating: 0, count: 2 * (16 + Self.count) + 1)
      let got = try replies.read(into: &bytes, at: 0)
      #expect(Array(bytes[..<got]) == reply(to: 5, from: 4096) + reply(to: 5, from: 513))
    }
  }

  @Test("what is small, or reaches over the end, or is no request is left to the other way")
  func others() throws {
    try withDisk { file, _, replies in
      let pipe = try #require(SplicePipe(to: replies.raw))
      #expect(!pipe.answer(file, 0, Self.count))
      pipe.unique = 5
      #expect(!pipe.answer(file, 0, Self.count - 1))
      #expect(!pipe.answer(file, UInt64(Self.size - Self.count + 1), Self.count))
      #expect(!pipe.answer(file, .max, Self.count))
      #expect(!pipe.answer(file, 0, 4 << 20))
      #expect(try replies.status().size == 0)
    }
  }

  @Test("an image that was cut off meanwhile leaves nothing in the pipe")
  func cut() throws {
    try withDisk { file, image, replies in
      let pipe = try #require(SplicePipe(to: replies.raw))
      pipe.unique = 5
      try image.truncate(to: UInt64(Self.count + 4096))
      #expect(!pipe.answer(file, 8192, Self.count))
      #expect(try replies.status().size == 0)
      #expect(pipe.answer(file, 4096, Self.count))
      var bytes = [UInt8](repeating: 0, count: 16 + Self.count + 1)
      let got = try replies.read(into: &bytes, at: 0)
      #expect(Array(bytes[..<got]) == reply(to: 5, from: 4096))
    }
  }
}
