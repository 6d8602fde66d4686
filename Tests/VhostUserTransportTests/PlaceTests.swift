// SPDX-License-Identifier: Apache-2.0
//
// The places where a server and its front-ends meet.

import Backends
import HostTesting
import Linux
import Testing
import VhostUserTesting
import VhostUserTransport
import VirtioRing
import VirtioTesting

@Suite(.timeLimit(.minutes(20))) struct PlaceTests {
  @Test("a socket that nobody listens on any more is replaced")
  func staleSocket() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("dev0.sock")
    do { _ = try UnixSocket.listen(path) }
    #expect(FileSystem.exists(path))
    #expect(try eventually { try UnixSocket.state(of: path) == .stale })
    let bed = try ServerBed([EchoDevice()], in: directory)
    #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1])
  }

  @Test("a socket that another process listens on is a clear error, and stays")
  func liveSocket() throws {
    let bed = try ServerBed([EchoDevice()])
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed([EchoDevice()], in: bed.directory)
    }
    #expect(
      error?.description
        == "cannot listen on \(bed.path()): another process listens there; end it first")
    #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1])
  }

  @Test("a file that is no socket is a clear error, and stays")
  func fileInTheWay() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("dev0.sock")
    try FileSystem.makeDirectory(path)
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed([EchoDevice()], in: directory)
    }
    #expect(error?.description.contains("a file that is no socket is there") ?? false)
    try FileSystem.removeDirectory(path)
  }

  @Test("where one place is refused, sockets made before it are removed")
  func undone() throws {
    let directory = try TemporaryDirectory()
    let good = directory.file("good.sock")
    #expect(throws: DeviceError.self) {
      _ = try ServerBed(
        [EchoDevice(), EchoDevice()],
        at: [.listen(good), .listen(directory.file("missing/bad.sock"))], in: directory)
    }
    #expect(!FileSystem.exists(good))
  }

  @Test("a path too long for a socket is a clear error")
  func pathTooLong() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file(String(repeating: "x", count: 108))
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed([EchoDevice()], at: [.listen(path)], in: directory)
    }
    #expect(error?.description.hasPrefix("cannot listen on ") ?? false)
  }

  @Test("the socket has the permissions that were asked for", arguments: [0o600, 0o660, 0o777])
  func permissions(_ mode: UInt32) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("dev0.sock")
    let bed = try ServerBed(
      [EchoDevice()], at: [.listen(path, SocketAccess(mode: mode))], in: directory)
    #expect(try FileSystem.status(of: path).permissions == mode)
    #expect(bed.stop())
  }

  @Test(
    "a socket that somebody removes, or puts elsewhere, is reported once", arguments: [false, true])
  func socketGone(isMoved: Bool) throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()])
    let client = try EchoClient(try bed.frontEnd())
    if isMoved {
      try FileSystem.rename(bed.path(), to: bed.path() + ".old")
    } else {
      try FileSystem.remove(bed.path())
    }
    #expect(
      bed.lines.contains(
        "warning echo0: somebody has removed \(bed.path()): no other front-end can connect until lgdev"
          + " is started anew"))
    // Who is there already is served, and so are other devices.
    #expect(try client.echo([1]) == [1])
    #expect(try EchoClient(try bed.frontEnd(1)).echo([1]) == [1])
    #expect(bed.stop())
    #expect(bed.lines.all.count { $0.contains("somebody has removed") } == 1)
  }

  @Test("a server that was shut down is as it was made")
  func usedAgain() throws {
    let directory = try TemporaryDirectory()
    let lines = LogLines()
    let server = try VhostUserServer(logger: lines.logger)
    let devices = [EchoDevice(), EchoDevice()]
    for (index, device) in devices.enumerated() {
      try server.add(device, at: .listen(directory.file("dev\(index).sock")))
      // A note that nobody reads before the end.
      device.configurationChange.signal()
    }
    server.stopper.requestStop()
    server.shutdown()
    #expect(!FileSystem.exists(directory.file("dev1.sock")))

    let pair = try UnixSocket.pair()
    try server.add(devices[0], at: .descriptor(try pair.second.duplicate().release()))
    devices[0].configurationChange.signal()
    let client = try WorkerThread.start(
      name: "front-end", state: RawFrontEnd(try pair.first.duplicate())
    ) { raw in
      guard let frontEnd = try? FrontEnd(raw), let client = try? EchoClient(frontEnd) else {
        return false
      }
      return (try? client.echo([1, 2]) == [1, 2]) ?? false
    }
    _ = consume pair
    try server.run()
    let isServed = client.join()
    #expect(isServed)
    #expect(server.statistics.map(\.sessions) == [1])
    server.shutdown()
  }

  @Test("a socket that somebody has put in the place of ours is not removed")
  func notOursToRemove() throws {
    let bed = try ServerBed([EchoDevice()])
    try FileSystem.remove(bed.path())
    do { _ = try UnixSocket.listen(bed.path()) }
    #expect(bed.stop())
    #expect(FileSystem.exists(bed.path()))
    try FileSystem.remove(bed.path())
  }

  @Test("a connected descriptor serves one front-end, and then the server is done")
  func connectedDescriptor() throws {
    let pair = try UnixSocket.pair()
    let bed = try ServerBed(
      [EchoDevice()], at: [.descriptor(try pair.second.duplicate().release())],
      in: try TemporaryDirectory())
    do {
      let raw = RawFrontEnd(try pair.first.duplicate())
      #expect(try EchoClient(try FrontEnd(raw)).echo([1]) == [1])
    }
    _ = consume pair
    #expect(bed.waitForEnd())
  }

  @Test("a listening descriptor serves one front-end after the other")
  func listeningDescriptor() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("dev0.sock")
    let listener = try UnixSocket.listen(path)
    let bed = try ServerBed(
      [EchoDevice()], at: [.descriptor(listener.release())], in: directory)
    for _ in 0..<3 { #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1]) }
    #expect(bed.stop())
    // It was not made here.
    #expect(FileSystem.exists(path))
    try FileSystem.remove(path)
  }

  @Test("a descriptor that is no socket is a clear error")
  func noSocket() throws {
    let event = try EventFD()
    let error = #expect(throws: DeviceError.self) {
      _ = try ServerBed(
        [EchoDevice()], at: [.descriptor(try event.descriptor.duplicate().release())],
        in: try TemporaryDirectory())
    }
    #expect(error?.description.hasPrefix("cannot use file descriptor ") ?? false)
  }

  @Test("a server that connects finds a front-end that listens, and again when that was away")
  func connects() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("front.sock")
    let bed = try ServerBed([EchoDevice()], at: [.connect(path)], in: directory)
    #expect(bed.lines.contains("no front-end at \(path): No such file or directory; trying again"))
    for _ in 0..<2 {
      let listener = try UnixSocket.listen(path)
      _ = try Poll.wait(for: .readable, on: listener, timeout: soon)
      guard let socket = try UnixSocket.accept(on: listener) else { throw FrontEndError.closed }
      #expect(try EchoClient(try FrontEnd(RawFrontEnd(socket))).echo([1]) == [1])
      try FileSystem.remove(path)
    }
    #expect(bed.stop())
  }

  @Test("with `once` a look at who listens does not end the device")
  func onceAndLookedAt() throws {
    let bed = try ServerBed([EchoDevice()], once: true)
    for _ in 0..<3 {
      #expect(try UnixSocket.state(of: bed.path()) == .live)
      #expect(bed.lines.contains("closed the connection"))
    }
    #expect(try EchoClient(try bed.frontEnd()).echo([1]) == [1])
    #expect(bed.waitForEnd())
  }

  @Test("with `once` a server is done when its front-ends have gone")
  func once() throws {
    let bed = try ServerBed([EchoDevice(), EchoDevice()], once: true)
    for index in 0..<2 {
      #expect(try EchoClient(try bed.frontEnd(index)).echo([1]) == [1])
    }
    #expect(bed.waitForEnd())
  }
}
