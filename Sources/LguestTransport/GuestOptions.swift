// SPDX-License-Identifier: Apache-2.0

/// What a guest is made of, besides its devices.
public struct GuestOptions: Sendable {
  /// The kernel's file: a bzImage or an ELF executable (vmlinux), for i386 and lguest.
  public var kernel: String
  /// How much memory the guest has, in bytes. It is rounded down to whole pages.
  public var memory: UInt64
  /// The file of a first file system in memory; nil for none.
  public var initrd: String?
  /// The kernel's command line, at most 2047 bytes.
  public var commandLine = ""
  /// Makes the guest's memory a memory file of this name (memfd_create(2)), at most 249 bytes, which other processes
  /// can open and map: in /proc/PID/fd it is the link to `/memfd:NAME`. Offsets in it are guest-physical addresses.
  /// Each start of the guest has a new one. nil: nobody else can have the memory.
  public var memoryName: String?
  /// Takes what the guest prints before it has a console, on the guest's thread.
  public var earlyOutput: (@Sendable ([UInt8]) -> Void)?

  /// A guest without an initrd.
  public init(kernel: String, memory: UInt64) {
    self.kernel = kernel
    self.memory = memory
  }
}
