// SPDX-License-Identifier: Apache-2.0

import HostTesting
import Linux
import Testing

@Suite("Pipes, watches and links", .timeLimit(.minutes(20)))
struct PipeAndWatchTests {
  @Test("a pipe gives what it was given, and ends when its writing end is closed")
  func pipe() throws {
    var pipe = try Linux.Pipe()
    #expect(throws: Errno.again) { try pipe.reading.read(upTo: 10) }
    try pipe.writing.writeAll([1, 2, 3])
    #expect(try pipe.reading.read(upTo: 10) == [1, 2, 3])
    pipe.writing = try FileDescriptor.open("/dev/null")
    #expect(try seesEnd(pipe.reading))
    #expect(try pipe.reading.read(upTo: 10).isEmpty)
  }

  @Test("a watch becomes readable when its file is opened, and not before")
  func watch() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("watched")
    _ = try FileDescriptor.open(path, [.writeOnly, .create])
    let watch = try FileWatch()
    try watch.add(path, for: .opened)
    #expect(try Poll.wait(for: .readable, on: watch.descriptor, timeout: .zero).isEmpty)
    for _ in 0..<2 {
      _ = try FileDescriptor.open(path)
      let found = try Poll.wait(for: .readable, on: watch.descriptor, timeout: soon)
      #expect(found == .readable)
      watch.drain()
      #expect(try Poll.wait(for: .readable, on: watch.descriptor, timeout: .zero).isEmpty)
    }
  }

  @Test("a watch becomes readable when its file loses its name, and not when it is opened")
  func nameWatch() throws {
    let directory = try TemporaryDirectory()
    for lose in [{ try FileSystem.remove($0) }, { try FileSystem.rename($0, to: $0 + "2") }] {
      let path = directory.file("watched")
      _ = try FileDescriptor.open(path, [.writeOnly, .create])
      let watch = try FileWatch()
      try watch.add(path, for: .renamed)
      _ = try FileDescriptor.open(path)
      #expect(try Poll.wait(for: .readable, on: watch.descriptor, timeout: .zero).isEmpty)
      try lose(path)
      #expect(try Poll.wait(for: .readable, on: watch.descriptor, timeout: soon) == .readable)
    }
  }

  @Test("a symbolic link says where it points, and nothing else is one")
  func link() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("link")
    try FileSystem.makeSymbolicLink(path, to: "/nowhere/at all")
    #expect(try FileSystem.symbolicLinkTarget(path) == "/nowhere/at all")
    #expect(throws: Errno.exists) { try FileSystem.makeSymbolicLink(path, to: "/") }
    #expect(throws: Errno.invalidArgument) { try FileSystem.symbolicLinkTarget("/") }
  }
}
