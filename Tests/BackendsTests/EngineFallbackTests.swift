// SPDX-License-Identifier: Apache-2.0
//
// engine=auto where the system really refuses io_uring, in processes of their own: a filter of system calls stays.

import Glibc
import HostTesting
import Linux
import Testing
import VirtioRing
import VirtioTesting

@testable import Backends

@Suite("engine=auto, where io_uring is refused", .timeLimit(.minutes(20)))
struct EngineFallbackTests {
  @Test("to the process: threads serve, and the note says why")
  func refusedFromTheStart() async {
    await #expect(processExitsWith: .success) {
      let image = try TestImage(byteCount: 4096)
      try Confinement.refuse(Confinement.ring)
      let device = try blockDevice(image.options)
      let isNoted = device.engineNote?.contains("\(Errno.permission)") ?? false
      let other = try TestImage(byteCount: 4096)
      var wanted = other.options
      wanted.engine = .uring
      var isTold = false
      do throws(DeviceError) {
        _ = try BlockDevice(name: "other", options: wanted)
      } catch {
        isTold = error.description.contains("use engine=threads")
      }
      let isRight = try device.engineName == "threads" && isNoted && isTold && isServed(device)
      exit(isRight ? 0 : 1)
    }
  }

  @Test("to a queue alone, after the device was made: threads serve it, with one line")
  func refusedLater() async {
    await #expect(processExitsWith: .success) {
      let image = try TestImage(byteCount: 4096)
      let log = LineCollector()
      var options = image.options
      options.onTrouble = log.hook
      let device = try blockDevice(options)
      guard device.engineName == "io_uring" else { exit(2) }
      // The thread that makes rings has the filter from now on.
      try ThreadStarter.perform { () throws(Errno) in try Confinement.refuse(Confinement.ring) }
      guard try isServed(device) else { exit(3) }
      exit(log.lines.count == 1 && log.lines[0].contains("\(Errno.permission)") ? 0 : 4)
    }
  }
}

/// Serves a request of each kind. - Returns: whether all went well.
private func isServed(_ device: BlockDevice) throws -> Bool {
  let bed = try BlockBed(device)
  defer { bed.stop() }
  return try bed.write(2, pattern(512)).status == 0 && bed.flush().status == 0
    && bed.read(2, 512).data == pattern(512)
}
