// SPDX-License-Identifier: Apache-2.0

public import Linux

/// Why a guest cannot be started, in one line for the user: what, which, what to do.
public enum LguestError: Error, Sendable, Equatable {
  // The host.
  /// There is no /dev/lguest.
  case noModule
  /// /dev/lguest cannot be opened.
  case notOpened(Errno)
  /// The module answers in a way that this program does not know.
  case wrongInterface(String)
  /// The module refuses the guest.
  case refused(Errno)
  /// Something else that the host refused: what was tried, and why not.
  case host(action: String, reason: Errno)

  // The kernel.
  /// The file cannot be read.
  case unreadable(path: String, Errno)
  /// Neither an ELF kernel nor a bzImage.
  case notAKernel(path: String)
  /// A kernel, but not one for i386.
  case notI386(path: String, found: String)
  /// A kernel without CONFIG_LGUEST_GUEST.
  case notForLguest(path: String, reason: String)
  /// An ELF file or bzImage that contradicts itself.
  case damagedKernel(path: String, reason: String)

  // Memory.
  /// The kernel, the initrd and the first page tables need more.
  case tooLittleMemory(memory: UInt64, needed: UInt64)
  /// More memory than a 32-bit guest can have, devices included.
  case tooMuchMemory(memory: UInt64)
  /// The initrd does not fit behind the kernel.
  case initrdTooLarge(path: String, byteCount: UInt64, room: UInt64)
  /// The command line is too long for the kernel.
  case commandLineTooLong(byteCount: Int)

  // Devices.
  /// The descriptors of the devices do not fit into their page.
  case devicePageFull(device: String)
  /// There are more queues than interrupts.
  case noInterruptLeft(device: String)
  /// A device of a form that the page cannot describe.
  case deviceNotDescribable(device: String, reason: String)
}

extension LguestError: CustomStringConvertible {
  /// One line.
  public var description: String {
    switch self {
    case .noModule:
      "there is no /dev/lguest: the lguest module is not loaded; build and load it with "
        + "\(Self.building), or see it run inside QEMU with 'make demo', its console with 'make demo-lguest'"
    case .notOpened(let errno) where errno == .accessDenied || errno == .permission:
      "no right to open /dev/lguest; run as root: it takes CAP_SYS_ADMIN"
    case .notOpened(let errno): "cannot open /dev/lguest: \(errno)"
    case .wrongInterface(let found):
      "the lguest module speaks another interface (\(found)); take it out with 'rmmod lguest', build and "
        + "load this version's with \(Self.building), or see that run inside QEMU with 'make demo'"
    // It could not get at pages of a guest's memory, all of which is there.
    case .refused(let errno) where errno == .noMemory || errno == .badAddress:
      "the lguest module refuses the guest: \(errno); \(Self.remedyForLackOfMemory)"
    case .refused(let errno):
      "the lguest module refuses the guest: \(errno); if it is of another version, take it out with "
        + "'rmmod lguest', and build and load this one's with \(Self.building)"
    case .host(let action, let reason):
      "cannot \(action): \(reason)\(Self.remedy(forHost: reason))"
    case .unreadable(let path, let errno):
      "cannot read \(path): \(errno); \(Self.remedy(forUnreadable: errno))"
    case .notAKernel(let path):
      "\(path) is no kernel; give a bzImage or an ELF file (vmlinux)"
    case .notI386(let path, let found):
      "\(path) is a kernel for \(found); lguest runs 32-bit i386 kernels only"
    case .notForLguest(let path, let reason):
      "\(path) cannot run under lguest: \(reason); build it with CONFIG_LGUEST_GUEST=y"
    case .damagedKernel(let path, let reason):
      "\(path) is damaged: \(reason); build or copy it again"
    case .tooLittleMemory(let memory, let needed):
      "\(Self.mebibytes(memory)) of memory is too little for this kernel; give --memory "
        + "\(Self.mebibytes(needed, up: true)) or more"
    case .tooMuchMemory(let memory):
      "\(Self.mebibytes(memory)) of memory is more than a 32-bit guest can have with its devices; "
        + "give --memory 4095M or less"
    case .initrdTooLarge(let path, let count, let room):
      "initrd \(path) has \(Self.mebibytes(count, up: true)), and there is room for "
        + "\(Self.mebibytes(room)) behind the kernel; give more --memory"
    case .commandLineTooLong(let count):
      "--append has \(count) bytes; the kernel takes \(GuestSizes.commandLineLimit - 1)"
    case .devicePageFull(let device):
      "\(device): the device page is full; leave out a device"
    case .noInterruptLeft(let device):
      "\(device): no interrupt is left; a guest has 31, one for each queue; leave out a device"
    case .deviceNotDescribable(let device, let reason):
      "\(device): lguest cannot describe it: \(reason)"
    }
  }

  static let remedyForLackOfMemory =
    "give it less --memory, or raise the limit of locked memory (ulimit -l)"

  private static let building = "'make -C Kernel/module' and 'insmod Kernel/module/lguest.ko'"

  private static func remedy(forHost errno: Errno) -> String {
    switch errno {
    case .noMemory: "; give the guest less --memory, or end other programs"
    case .tooManyOpenFiles: "; raise the limit of open files (ulimit -n)"
    default: ""
    }
  }

  private static func remedy(forUnreadable errno: Errno) -> String {
    switch errno {
    case .notFound, .notDirectory: "name a file that is there"
    case .isDirectory: "name a file in it"
    case .invalidArgument: "name a regular file"
    case .accessDenied, .permission: "let your user read it (chmod), or run as root"
    default: "copy it to storage that works"
    }
  }

  private static func mebibytes(_ count: UInt64, up: Bool = false) -> String {
    "\((count >> 20) + (up && count % (1 << 20) > 0 ? 1 : 0))M"
  }
}
