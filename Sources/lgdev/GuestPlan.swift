// SPDX-License-Identifier: Apache-2.0

import LguestTransport

/// A guest of lguest and its devices, checked as far as that goes without looking at the host.
struct GuestPlan {
  /// What it is called in what this program says, and in its counters.
  var name = "guest"
  var guest: GuestOptions
  var devices: [NamedDevice]
  /// Where the disks are shown as files.
  private(set) var export: String?

  /// - Parameter devices: in any order; they are named here.
  init(
    name: String, guest: GuestOptions, devices: [DeviceArgument]
  ) throws(UsageError) {
    self.name = name
    self.guest = guest
    self.devices = try NamedDevice.named(devices)
    for entry in self.devices {
      if case .block(let disk) = entry.device, disk.queues > 1 {
        throw UsageError(
          "\(entry.name): queues=\(disk.queues): an lguest guest knows one queue only")
      }
    }
  }

  /// Has the disks shown as files.
  mutating func show(at mountPoint: String?) throws(UsageError) {
    try DiskExport.check(mountPoint, devices)
    export = mountPoint
  }

  /// What a `lgdev serve --transport lguest` command line asks for.
  init(_ options: Serve) throws(UsageError) {
    guard let kernel = options.kernel else {
      throw UsageError("there is no kernel to run; give --kernel bzImage or --kernel vmlinux")
    }
    let memory: MemoryArgument
    do throws(DeviceStringError) {
      memory = try options.memory.map(MemoryArgument.init) ?? .usual
    } catch {
      throw UsageError(error.description)
    }
    var guest = GuestOptions(kernel: kernel, memory: memory.byteCount)
    guest.memoryName = memory.name
    guest.initrd = options.initrd
    guest.commandLine = options.append ?? ""
    try self.init(name: "guest", guest: guest, devices: NamedDevice.devices(of: options))
    try NamedDevice.checkShares(devices)
    try show(at: options.export)
  }
}
