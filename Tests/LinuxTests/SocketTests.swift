// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct SocketTests {
  @Test func listenerAcceptsWhoConnectsAndNobodyElse() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("s")
    let listener = try UnixSocket.listen(path, backlog: 4)
    let none = try UnixSocket.accept(on: listener) == nil
    #expect(none)
    let client = try UnixSocket.connect(path)
    let found = try Poll.wait(for: .readable, on: listener, timeout: soon)
    #expect(found == .readable)
    let server = try required(UnixSocket.accept(on: listener, nonBlocking: true))
    try client.writeAll([1, 2, 3])
    #expect(try server.read(upTo: 10) == [1, 2, 3])
    #expect(throws: Errno.again) { _ = try server.read(upTo: 10) }
    #expect(fcntl(server.raw, F_GETFD) & FD_CLOEXEC != 0)
  }

  @Test(arguments: [0o600, 0o660, 0o666, 0o700] as [UInt32])
  func permissionsAreExactlyWhatWasAsked(mode: UInt32) throws {
    let directory = try TemporaryDirectory()
    let listener = try UnixSocket.listen(directory.file("s"), mode: mode)
    #expect(try listener.status().kind == .socket)
    #expect(try FileSystem.status(of: directory.file("s")).permissions == mode)
  }

  @Test func pathThatIsTooLongIsAClearError() throws {
    #expect(UnixSocket.maximumPathLength == 107)
    let directory = try TemporaryDirectory()
    let length = UnixSocket.maximumPathLength - directory.path.utf8.count - 1
    let longest = directory.file(String(repeating: "x", count: length))
    _ = try UnixSocket.listen(longest)
    #expect(try eventually { try UnixSocket.state(of: longest) == .stale })
    #expect(throws: Errno.nameTooLong) { _ = try UnixSocket.listen(longest + "x") }
    #expect(throws: Errno.nameTooLong) { _ = try UnixSocket.connect(longest + "x") }
    #expect(throws: Errno.nameTooLong) { _ = try UnixSocket.state(of: longest + "x") }
    #expect(throws: Errno.invalidArgument) { _ = try UnixSocket.listen("") }
    #expect(Errno.nameTooLong.description == "File name too long")
  }

  @Test func staleSocketIsToldFromALiveOne() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("s")
    #expect(try UnixSocket.state(of: path) == .free)
    try listenBriefly(path)
    #expect(try eventually { try UnixSocket.state(of: path) == .stale })
    #expect(throws: Errno.connectionRefused) { _ = try UnixSocket.connect(path) }
    #expect(throws: Errno.addressInUse) { _ = try UnixSocket.listen(path) }
    try FileSystem.remove(path)
    let listener = try UnixSocket.listen(path, backlog: 0)
    #expect(try UnixSocket.state(of: path) == .live)
    // The backlog is full now, which is as live as can be.
    #expect(try UnixSocket.state(of: path) == .live)
    #expect(try UnixSocket.state(of: path) == .live)
    #expect(try listener.status().kind == .socket)
    _ = try FileDescriptor.open(directory.file("file"), [.writeOnly, .create])
    #expect(try UnixSocket.state(of: directory.file("file")) == .notASocket)
    #expect(throws: Errno.notFound) { _ = try UnixSocket.connect(directory.file("nothing")) }
  }

  @Test func failedListenLeavesNothingBehind() throws {
    let directory = try TemporaryDirectory()
    #expect(throws: Errno.notFound) { _ = try UnixSocket.listen(directory.file("no/s")) }
    #expect(!FileSystem.exists(directory.file("s")))
  }
}

/// Makes a socket that nobody listens on any more.
private func listenBriefly(_ path: String) throws {
  _ = try UnixSocket.listen(path)
}
