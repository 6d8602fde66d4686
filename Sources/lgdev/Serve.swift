// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Linux
import Logging

/// `lgdev serve`.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve devices to a virtual machine, or run a guest with them.",
    discussion: """
      With --transport lguest this program runs the guest itself, on the lguest
      module: an i386 Linux kernel that was built for it. It ends with the guest:
      with code 0 when that has switched itself off, with 1 when it has died.

      With vhost-user, the default, every device has a socket of its own, to which
      QEMU, User-mode Linux, cloud-hypervisor or another vhost-user front-end
      connects. When it goes away the device listens again. SIGTERM, SIGINT and
      SIGHUP finish what is in flight, remove the sockets and end the program.

      DEVICES
        Each option can be given several times. Values are key=value pairs with
        commas between them; a comma inside a value is written twice. id=NAME
        names a device and its socket. A disk that this machine has mounted can be
        served with ro only.

        --block path=disk.img[,format=raw][,serial=D1][,ro][,blocksize=512|4096]
                [,cache=writeback|writethrough|none|directsync|unsafe]
                [,engine=auto|uring|threads][,queues=16][,queuesize=1024]
        --net tap=tap0[,mac=52:54:00:12:34:56][,mtu=1500][,bridge=br0]
              [,address=10.0.0.1/24]
        --net fd=N[,mac=52:54:00:12:34:56][,mtu=1500]
        --console stdio|pty[:LINK]|socket:PATH|file:PATH
                  [,size=80x25][,overflow=block|drop]
        --rng[=source=/dev/hwrng]

        Images are raw. One that looks like another format, or compressed, is
        refused; a guest can write what looks so into its own disk, so format=raw
        says that the bytes are the disk. cache= is QEMU's: writethrough and
        directsync sync each write, none and directsync go round the page cache,
        unsafe ignores flushes: what the guest wrote is lost with the host. queuesize
        is for front-ends with smaller queues, whose largest requests must fit.

      FLEET
        --config names a YAML file of lguest guests that run in this process, each
        on threads of its own; a guest's death or restart is its own affair. Keys
        are this program's options; a device is written as after its option, or
        as a map, and several make a list. Paths begin at the file's folder.
        'lgdev config check FILE' tells all that is wrong in it.

          log-level: info            # --log-level and --pidfile go before these
          pidfile: fleet.pid
          guests:
            web:                     # what lines about it begin with
              kernel: vmlinux
              memory: 64M            # or 64M,memfd=NAME; 256M by default
              append: root=/dev/vda ro
              block: {path: web.img, ro: true}
              net: tap=tap0,bridge=br0
              console: stdio         # of one guest; else pty, the default, or
              rng: on                # socket:PATH, file:PATH, none
            db:
              kernel: vmlinux
              block: [path=db.img, "path=log.img,serial=L"]

        Ctrl-C three times ends the guest at the terminal; SIGTERM and the other
        signals end all. When the last guest has ended, the exit code is 0 if all
        have switched themselves off or were told to end, 1 if any has died.

      EXAMPLES
        A guest with all four:
          lgdev serve --transport lguest --kernel bzImage --memory 256M \\
            --append "root=/dev/vda" --block path=disk.img,format=raw \\
            --net tap=tap0,address=10.0.0.1/24 --console stdio --rng

        All four for another program's guest; /tmp/vm gets block0.sock and so on:
          lgdev serve --socket-dir /tmp/vm --block path=disk.img,format=raw \\
            --net tap=tap0,address=10.0.0.1/24 --console stdio --rng

        A QEMU guest with that disk; its memory must be shared:
          qemu-system-x86_64 -m 512M -machine q35,memory-backend=mem \\
            -object memory-backend-memfd,id=mem,size=512M,share=on \\
            -chardev socket,id=b,path=/tmp/vm/block0.sock \\
            -device vhost-user-blk-pci,chardev=b ...

        A User-mode Linux guest with it:
          linux.uml mem=512M virtio_uml.device=/tmp/vm/block0.sock:2 ...

        One device in the form of QEMU's back-end conventions:
          lgdev serve --socket-path /tmp/disk.sock --blk-file disk.img --format raw
      """)

  // MARK: Where

  @Option(
    help: ArgumentHelp(
      "How guests reach the devices: vhost-user (the default) or lguest.", valueName: "name"))
  var transport: String?

  @Option(
    help: ArgumentHelp("Run the lguest guests that this file names; see FLEET.", valueName: "file"),
    completion: .file())
  var config: String?

  // MARK: The guest, with --transport lguest

  @Option(
    help: ArgumentHelp("The guest's kernel: a bzImage or vmlinux for i386.", valueName: "file"),
    completion: .file())
  var kernel: String?

  @Option(
    help: ArgumentHelp(
      "The guest's memory, such as 256M or 1G; 256M,memfd=NAME makes it a memory file, seen in /proc/PID/fd.",
      valueName: "size"))
  var memory: String?

  @Option(
    help: ArgumentHelp("The guest's first file system, in its memory.", valueName: "file"),
    completion: .file())
  var initrd: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The kernel's command line.", valueName: "words"))
  var append: String?

  // MARK: The sockets, with --transport vhost-user

  @Option(
    help: ArgumentHelp("Listen on DIR/NAME.sock for each device.", valueName: "dir"),
    completion: .directory)
  var socketDir: String?

  @Option(
    help: ArgumentHelp("Listen on this socket, for one device.", valueName: "path"),
    completion: .file())
  var socketPath: String?

  @Option(
    help: ArgumentHelp(
      "Connect to a front-end that listens here, for one device.", valueName: "path"),
    completion: .file())
  var connect: String?

  @Option(
    help: ArgumentHelp(
      "Use an inherited socket, connected or listening, for one device.", valueName: "n"))
  var fd: String?

  @Option(help: ArgumentHelp("Give the sockets to this group.", valueName: "group"))
  var socketGroup: String?

  @Option(
    help: ArgumentHelp("The sockets' permissions, octal; 0600 by default.", valueName: "mode"))
  var socketMode: String?

  // MARK: What

  @Option(
    parsing: .singleValue, help: ArgumentHelp("A disk; see DEVICES.", valueName: "path=FILE,..."))
  var block: [String] = []

  @Option(
    parsing: .singleValue, help: ArgumentHelp("A network card.", valueName: "tap=NAME,..."))
  var net: [String] = []

  @Option(
    parsing: .singleValue, help: ArgumentHelp("A console.", valueName: "stdio|pty|socket:|file:"))
  var console: [String] = []

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A source of randomness; the value is optional.", valueName: "source=FILE"))
  var rng: [String] = []

  @Option(
    help: ArgumentHelp("The same as --block path=FILE.", valueName: "file"), completion: .file())
  var blkFile: String?

  @Option(
    help: ArgumentHelp("The disks' images are raw, whatever they look like.", valueName: "raw"))
  var format: String?

  @Flag(help: "The disks can be read only.")
  var readOnly = false

  @Option(
    help: ArgumentHelp(
      "Show the disks there as files, read-only, as the guest has written them.", valueName: "dir"),
    completion: .directory)
  var export: String?

  // MARK: How

  @Flag(help: "End when the front-ends have gone.")
  var once = false

  @Flag(
    help: ArgumentHelp(
      "Offer kicks and calls as messages, for front-ends without event descriptors; far slower."))
  var inBandNotifications = false

  @Option(
    help: ArgumentHelp(
      "Write the process's number here when all sockets listen.", valueName: "file"),
    completion: .file())
  var pidfile: String?

  @Option(
    help: ArgumentHelp(
      "trace, debug, info (the default), notice, warning, error or critical.", valueName: "level"))
  var logLevel: String?

  @Flag(help: "Print what the back-end can do, as JSON, and end; other options are ignored.")
  var printCapabilities = false

  func validate() throws {
    // An empty --append is one like any other.
    try refuseEmpty([
      ("--transport", transport), ("--config", config), ("--kernel", kernel), ("--memory", memory),
      ("--initrd", initrd), ("--socket-dir", socketDir), ("--socket-path", socketPath),
      ("--connect", connect), ("--fd", fd), ("--socket-group", socketGroup),
      ("--socket-mode", socketMode), ("--blk-file", blkFile), ("--export", export),
      ("--format", format),
      ("--pidfile", pidfile), ("--log-level", logLevel),
    ])
  }

  func run() throws {
    // Each ring takes several. Where the limit stays, whoever meets it says so.
    try? Process.setDescriptorLimit(.max)
    if let config { return try GuestDaemon.run(FleetPlan(config: config, self)) }
    switch transport {
    case nil, "vhost-user": try Daemon.run(ServePlan(self))
    case "lguest": try GuestDaemon.run(FleetPlan(self))
    case .some(let other):
      throw UsageError(
        "--transport \(other) is not offered; there are vhost-user and lguest")
    }
  }
}

extension Serve {
  /// Refuses options that belong to the other transport.
  func refuse(_ given: [(option: String, value: String?)], _ why: String) throws(UsageError) {
    if let wrong = given.first(where: { $0.value != nil }) {
      throw UsageError("\(wrong.option) \(why)")
    }
  }

  /// How much is logged.
  func level() throws(UsageError) -> Logger.Level {
    guard let logLevel else { return .info }
    return try Logger.Level(argument: logLevel, of: "--log-level")
  }
}

extension Logger.Level {
  /// What `--log-level`, or its like elsewhere, asks for.
  init(argument: String, of option: String) throws(UsageError) {
    guard let level = Logger.Level(rawValue: argument) else {
      let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
      throw UsageError("\(option) \(argument) is not one of \(levels)")
    }
    self = level
  }
}
