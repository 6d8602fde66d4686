// SPDX-License-Identifier: Apache-2.0
//
// MountHelper: what mount(8) runs for `IMAGE MOUNTPOINT fuse.lgdev options` in /etc/fstab, by the name
// mount.fuse.lgdev or through mount.fuse3(8).
//
// It must come back when the file system is mounted. So it starts the program anew, which says on a pipe that it
// is ready, and goes on alone.

import Linux

enum MountHelper {
  /// Mounts what a command line asks for, and leaves a process behind that serves it.
  ///
  /// - Parameter arguments: those of `lgdev export`, without the program's name.
  static func run(_ arguments: [String]) throws(HostError) -> Int32? {
    guard FileSystem.exists("/proc/self/exe") else {
      throw HostError(
        "there is no /proc to start this program anew with; mount it with 'mount -t proc proc /proc'"
      )
    }
    do throws(Errno) {
      let pipe = try Pipe(nonBlocking: false)
      let pid = try DetachedProcess.startSelf(
        ["lgdev"] + arguments + ["--ready-fd", "\(DetachedProcess.passedDescriptor)"],
        passing: pipe.writing)
      return try awaitMount(pipe, pid)
    } catch {
      throw HostError("cannot start a process that serves the mount: \(error)")
    }
  }

  /// - Returns: nil when it is mounted, else with which code the process has ended.
  private static func awaitMount(
    _ pipe: consuming Pipe, _ pid: Int32
  ) throws(Errno) -> Int32? {
    let reading = pipe.closeWriting()
    if try !reading.read(upTo: 1).isEmpty { return nil }
    return try DetachedProcess.wait(pid) ?? 1
  }

  /// Tells who waits that it is mounted, and goes on without a terminal: what is wrong from now on is in the system's log.
  static func tellReady(_ descriptor: borrowing FileDescriptor) {
    StandardError.becomeSystemLog()
    try? DetachedProcess.leaveStandardStreams()
    _ = try? descriptor.write([1])
  }
}
