// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Linux

/// `lgdev export`.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Show disk images and their partitions as files.",
    discussion: """
      The mount point shows one image, or several with a directory for each. One
      that is a plain file becomes the disk itself. It is unmounted with
      'fusermount3 -u MOUNTPOINT' or SIGTERM, which ends this program; one that is
      --writable and used, as by a loop device, when that has ended. Another SIGTERM
      does not wait for it, loses what was written, and ends with code 1.

      Images are locked as a disk's is: what a guest writes to cannot be exported
      here (lgdev serve --export shows it), and nobody writes meanwhile. A device that
      this machine has mounted cannot be exported writable. An image that looks like
      qcow2, VMDK or another format than raw, or compressed, is refused; a guest can
      write what looks so into its own disk, so --format raw says that it is raw.

      FILES
        disk        the whole image
        part1 ...   each partition, a file of its own size
        by-label/   links by the labels of file systems; by-uuid/ likewise
        by-partlabel/  links by a GPT's names; by-partuuid/ by its identifiers
        info.json   what is known: table, partitions, file systems, warnings

      A file system that was not unmounted, as that of a guest that runs or was
      killed, is mounted read-only with what info.json calls its readOnlyOptions:
      noload for ext4, norecovery for XFS, rescue=nologreplay for Btrfs. Two
      superblocks on one partition, as an old file system leaves them, are a
      warning, and no link leads there.

      MOUNTING
        Words for -o, with commas between:

        ro, rw                   read-only, the default; writable
        growable                 as --growable
        uid=N, gid=N, mode=OCTAL, format=raw, sector-size=N, lost-gpt as the options
        allow_other              others may look, as far as owner and mode let them
        auto_unmount             unmount when this program is killed
        nonempty                 cover what the directory has
        nopassthrough            the kernel leaves all transfers to this program
        default_permissions      always on
        nodev, nosuid, noexec, noatime ... as for mount(8)

      EXAMPLES
        Look into a disk:
          lgdev export --format raw disk.img /mnt
          cat /mnt/info.json
          mount -o loop,ro,noload /mnt/part1 /somewhere

        In /etc/fstab, where rw stands for nothing, and writable for --writable:
          /srv/disk.img /mnt fuse.lgdev allow_other,mode=0440 0 0
        What is wrong with such a mount later is told in the system's log.
      """)

  @Argument(
    help: ArgumentHelp(
      "Images, raw files or block devices, and then the mount point.", valueName: "image ... dir"),
    completion: .file())
  var paths: [String]

  @Option(
    name: .customShort("o", allowingJoined: true), parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Options for mounting; see above.", valueName: "options"))
  var options: [String] = []

  @Flag(name: .short, help: "Stay in the foreground: always so.")
  var foreground = false

  @Flag(help: "The files can be written; the images are locked for that.")
  var writable = false

  @Flag(help: "'disk' can be truncated and written past its end; with --writable.")
  var growable = false

  @Option(help: ArgumentHelp("The images' format: raw, whatever they look like.", valueName: "raw"))
  var format: String?

  @Option(
    help: ArgumentHelp(
      "The size of a sector for the guest: 512, or 4096, which an MBR does not tell.",
      valueName: "bytes"))
  var sectorSize: String?

  @Flag(
    help: "Use a GPT that Linux does not see: without its MBR, or only its backup is left.")
  var lostGpt = false

  @Option(help: ArgumentHelp("The owner of the files: a number.", valueName: "n"))
  var uid: String?

  @Option(help: ArgumentHelp("The group of the files: a number.", valueName: "n"))
  var gid: String?

  @Option(help: ArgumentHelp("The files' permissions, octal; 0400 or 0600.", valueName: "mode"))
  var mode: String?

  @Flag(name: .shortAndLong, help: "Say what was found and what the kernel offers.")
  var verbose = false

  @Option(help: ArgumentHelp("How many threads serve requests.", visibility: .hidden))
  var threads: Int?

  @Flag(help: ArgumentHelp("Called by mount(8).", visibility: .hidden))
  var asMountHelper = false

  @Option(help: ArgumentHelp("Write here when it is mounted.", visibility: .hidden))
  var readyFd: Int32?

  func validate() throws {
    try refuseEmpty([
      ("--format", format), ("--sector-size", sectorSize), ("--uid", uid), ("--gid", gid),
      ("--mode", mode),
    ])
  }

  func run() throws {
    let plan = try ExportPlan(self)
    // To mount(8) it means that nothing is to be mounted.
    if asMountHelper, foreground { return }
    if let readyFd {
      // It was passed for this, and is nobody else's.
      let pipe = FileDescriptor(owning: readyFd)
      return try ExportDaemon.run(plan) { MountHelper.tellReady(pipe) }
    }
    guard asMountHelper else { return try ExportDaemon.run(plan) }
    if let code = try MountHelper.run(Invocation(Process.arguments).arguments) {
      throw ExitCode(code)
    }
  }
}
