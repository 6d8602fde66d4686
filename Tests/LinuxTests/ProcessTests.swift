// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTesting
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct ProcessTests {
  @Test func randomBytesFillTheWholeBuffer() throws {
    // More than the 256 bytes that one call is sure to give.
    var bytes = [UInt8](repeating: 0, count: 100_000)
    // SAFETY: the array's memory, during the call.
    let count = try unsafe bytes.withUnsafeMutableBytes { try unsafe Random.fill($0) }
    #expect(count == bytes.count)
    // Each piece of 100 bytes would be all zeros with a chance of 2^-800.
    for start in stride(from: 0, to: bytes.count, by: 100) {
      #expect(bytes[start..<start + 100].contains { $0 != 0 })
    }
  }

  @Test func clockOnlyGoesForward() {
    var last = MonotonicClock.nanoseconds
    for _ in 0..<10000 {
      let now = MonotonicClock.nanoseconds
      #expect(now >= last)
      last = now
    }
  }

  @Test func numbersAreTheKernels() throws {
    let status = try FileDescriptor.open("/proc/self/stat").read(upTo: 100)
    let id = String(decoding: status.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
    #expect(id == "\(Process.id)")
    #expect(FileSystem.exists("/proc/self/task/\(CurrentThread.id)"))
    #expect(Process.effectiveUser == geteuid())
  }

  @Test func argumentsAreThoseOfTheCommandLine() {
    #expect(Process.arguments == CommandLine.arguments)
    #expect(!Process.arguments.isEmpty)
  }

  @Test func writingBehindTheLimitOfFileSizesIsAnErrorWhereItsSignalIsIgnored() async {
    await #expect(processExitsWith: .success) {
      Signal.fileSizeExceeded.ignore()
      let directory = try TemporaryDirectory()
      let file = try FileDescriptor.open(directory.file("f"), [.readWrite, .create])
      // SAFETY: the call reads a local.
      var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
      let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
      guard unsafe setrlimit(resource, &limit) == 0 else { exit(1) }
      guard Process.fileSizeLimit == 4096 else { exit(2) }
      let bytes: [UInt8] = [1]
      do throws(Errno) { _ = try file.write(bytes.span, at: 4096) } catch {
        exit(error == .fileTooLarge ? 0 : 3)
      }
      exit(4)
    }
  }

  @Test func umaskWithholdsPermissionsUntilItIsSetBack() async {
    // In a process of its own: the umask is everybody's.
    await #expect(processExitsWith: .success) {
      let before = Process.setUmask(0o077)
      let directory = try TemporaryDirectory()
      _ = try FileDescriptor.open(directory.file("f"), [.writeOnly, .create], mode: 0o666)
      #expect(try FileSystem.status(of: directory.file("f")).permissions == 0o600)
      // A socket gets what was asked for all the same.
      _ = try UnixSocket.listen(directory.file("s"), mode: 0o666)
      #expect(try FileSystem.status(of: directory.file("s")).permissions == 0o666)
      #expect(Process.setUmask(before) == 0o077)
    }
  }

  @Test func openDescriptorsAreCounted() async {
    // In a process of its own, since other tests open and close; and many times, since the runtime
    // may open something of its own at any time.
    await #expect(processExitsWith: .success) {
      var opened: [Int] = []
      var closed: [Int] = []
      for _ in 0..<100 {
        let before = try Process.openDescriptorCount()
        let pipe = try Pipe(nonBlocking: false)
        opened.append(try Process.openDescriptorCount() - before)
        pipe.end()
        closed.append(try Process.openDescriptorCount() - before)
      }
      #expect(opened.count { $0 == 2 } > 90)
      #expect(closed.count { $0 == 0 } > 90)
    }
  }
}
