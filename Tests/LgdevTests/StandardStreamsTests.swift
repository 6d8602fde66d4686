// SPDX-License-Identifier: Apache-2.0
//
// The program where standard input, output and error are closed, as some that start daemons leave them.

import Foundation
import HostTesting
import Testing

@Suite(.timeLimit(.minutes(20))) struct StandardStreamsTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func `what is printed where all streams are closed is not written into a disk`() throws {
    let size = 1 << 20
    try directory.makeFile("disk", size: size)
    let daemon = Foundation.Process()
    daemon.executableURL = URL(fileURLWithPath: "/bin/sh")
    // A line each for the socket and for the console, and the guest's output.
    daemon.arguments = [
      "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", Program.path, "serve", "--socket-dir", ".",
      "--block", "path=disk", "--console", "stdio", "--pidfile", "pid",
    ]
    daemon.currentDirectoryURL = URL(fileURLWithPath: directory.path)
    try daemon.run()
    while daemon.isRunning, try !directory.names.contains("pid") { usleep(5000) }
    for stream in 0...2 {
      let path = "/proc/\(daemon.processIdentifier)/fd/\(stream)"
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: path) == "/dev/null")
    }
    kill(daemon.processIdentifier, SIGTERM)
    daemon.waitUntilExit()
    #expect(daemon.terminationStatus == 0)
    let disk = try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/disk"))
    #expect(disk.count == size && disk.allSatisfy { $0 == 0 })
  }
}
