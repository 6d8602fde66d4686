// SPDX-License-Identifier: Apache-2.0
//
// KernelImage: what of a kernel's file goes where in the guest, and where it starts.
//
// A file is an ELF executable (vmlinux) or a bzImage; which, its first bytes say. Nothing is loaded
// here: the plan is made and checked first, so that whatever is wrong with a kernel is known before
// anything starts.

/// The plan for loading a kernel.
struct KernelImage: Equatable {
  /// Bytes of the file and their place.
  struct Piece: Equatable {
    /// Where in the file.
    var offset: UInt64
    /// How many bytes of it.
    var byteCount: UInt64
    /// Where in the guest.
    var address: UInt64
  }

  /// What is copied. Everything else of the guest's memory is zero.
  var pieces: [Piece]
  /// Where the guest starts: a physical address.
  var entry: UInt32
  /// The end of what the kernel occupies before it knows of any initrd.
  var end: UInt64

  /// Reads the headers of a kernel.
  init(_ file: GuestFile) throws(LguestError) {
    if try file.bytes(at: 0, upTo: ELFKernel.magic.count) == ELFKernel.magic {
      self = try ELFKernel.image(file)
    } else {
      self = try BzImageKernel.image(file)
    }
  }

  init(pieces: [Piece], entry: UInt32, end: UInt64) {
    self.pieces = pieces
    self.entry = entry
    self.end = end
  }
}
