// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a guest is one line, and nothing was made or started. The exit code is 2 where the command line
// alone shows it, else 1.

import Foundation
import HostTesting
import Testing

@Suite(.timeLimit(.minutes(20))) struct GuestRefusalTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func write(_ name: String, _ bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(directory.path)/\(name)"))
  }

  /// An ELF header for a machine, and one segment of the given size in memory at 16 MiB.
  private func elf(machine: UInt8, memory: UInt32 = 4096, text: String = "lguest") -> [UInt8] {
    func word(_ value: UInt32) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    let size = UInt32(text.utf8.count)
    var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1] + [UInt8](repeating: 0, count: 9)
    bytes += [2, 0, machine, 0] + word(1) + word(0x100_0000) + word(52) + word(0) + word(0)
    bytes += [52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    bytes += word(1) + word(84) + word(0xc100_0000) + word(0x100_0000) + word(size) + word(memory)
    bytes += word(7) + word(4096)
    return bytes + Array(text.utf8)
  }

  private func expectRefusal(
    _ arguments: [String], code: Int32 = 1, _ message: String
  ) throws {
    let before = try directory.names
    let run = try Program.run(
      ["serve", "--transport", "lguest", "--rng"] + arguments, in: directory)
    #expect(run.code == code)
    #expect(run.errors.count == 1, "\(run.errors)")
    #expect(run.errors.first?.contains(message) == true, "\(run.errors)")
    #expect(run.output == "")
    #expect(try directory.names == before)
  }

  @Test func `kernels that cannot run`() throws {
    try expectRefusal(["--kernel", "none"], "cannot read none: No such file")
    try expectRefusal(["--kernel", "."], "cannot read .: Is a directory")
    try write("text", Array(repeating: 0x20, count: 4096))
    try expectRefusal(["--kernel", "text"], "text is no kernel; give a bzImage or an ELF file")
    try write("amd64", elf(machine: 62))
    try expectRefusal(["--kernel", "amd64"], "amd64 is a kernel for x86-64; lguest runs 32-bit")
    try write("plain", elf(machine: 3, text: "another"))
    try expectRefusal(["--kernel", "plain"], "plain cannot run under lguest")
  }

  @Test func `a limit of open files that the guest's devices pass`() throws {
    let run = Foundation.Process()
    run.executableURL = URL(fileURLWithPath: "/bin/sh")
    run.arguments = [
      "-c", "ulimit -n 40 && exec \"$0\" \"$@\"", Program.path, "serve", "--transport", "lguest",
      "--kernel", "none", "--console", "pty", "--net", "tap=t0", "--rng",
    ]
    let errors = Pipe()
    run.standardError = errors
    try run.run()
    let said = try errors.fileHandleForReading.readToEnd() ?? Data()
    run.waitUntilExit()
    #expect(run.terminationStatus == 1)
    #expect(
      String(decoding: said, as: UTF8.self).hasPrefix(
        "lgdev: this takes about 55 open files, and the limit is 40; raise it (ulimit -n"))
  }

  @Test func `memory, initrd and command line that do not fit`() throws {
    try write("vmlinux", elf(machine: 3, memory: 8 << 20))
    try expectRefusal(
      ["--kernel", "vmlinux", "--memory", "24M"], "24M of memory is too little for this kernel")
    try expectRefusal(
      ["--kernel", "vmlinux", "--memory", "5G"], code: 2, "more than a 32-bit guest can have")
    try expectRefusal(["--kernel", "vmlinux", "--initrd", "none"], "cannot read none")
    try directory.makeFile("rd", size: 9 << 20)
    try expectRefusal(
      ["--kernel", "vmlinux", "--memory", "32M", "--initrd", "rd"], "initrd rd has 9M, and there is"
    )
    try expectRefusal(
      ["--kernel", "vmlinux", "--append", String(repeating: "x", count: 2048)], code: 2,
      "--append has 2048 bytes; the kernel takes 2047")
  }
}
