// SPDX-License-Identifier: Apache-2.0

import LguestTransport

/// A guest of lguest and its devices, checked as far as that goes without looking at the host.
struct GuestPlan {
  /// What it is called in what this program says, and in its counters.
  var name = "guest"
  var guest: GuestOptions
  var devices: [NamedDevice]
  /// Where the disks are shown as files.
  let export: String?

  /// What something can be wrong with.
  enum Setting { case memory, append, devices, export }

  /// - Parameters:
  ///   - devices: in any order; they are named here.
  ///   - complain: told of all that is wrong; the plan is of no use then.
  init(
    name: String, guest: GuestOptions, devices: [DeviceArgument], export: String? = nil,
    _ complain: (Setting, String) -> Void
  ) {
    self.name = name
    self.guest = guest
    self.export = export
    self.devices = NamedDevice.named(devices) { complain(.devices, $0) }
    for entry in self.devices {
      if case .block(let disk) = entry.device, let queues = disk.queues, queues > 1 {
        complain(.devices, "\(entry.name): queues=\(queues): an lguest guest knows one queue only")
      }
    }
    do throws(UsageError) { try DiskExport.check(export, self.devices) } catch {
      complain(.export, error.description)
    }
    let queues = self.devices.map { ($0.name, $0.device.queueSizes(isLegacy: true)) }
    for trouble in guest.troubles(devices: queues) {
      complain(Setting(trouble), trouble.description)
    }
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
    let devices = try NamedDevice.devices(of: options)
    self = try UsageError.throwingFirst { complain in
      GuestPlan(name: "guest", guest: guest, devices: devices, export: options.export) {
        complain($1)
      }
    }
    try NamedDevice.checkShares(self.devices)
  }
}

extension GuestPlan.Setting {
  /// What an error is about.
  fileprivate init(_ error: LguestError) {
    switch error {
    case .commandLineTooLong: self = .append
    case .tooLittleMemory, .tooMuchMemory: self = .memory
    default: self = .devices
    }
  }
}
