// SPDX-License-Identifier: Apache-2.0
//
// GuestImage: the files and numbers of a guest turned into a plan, and the plan into memory. The files are read anew each
// time that the guest starts, as a computer reads its disk.

import Linux

/// What is in a guest's memory at its start.
struct GuestImage {
  let page: DevicePage
  private let memoryName: String?
  private let kernelFile: GuestFile
  private let initrdFile: GuestFile?
  private let kernel: KernelImage
  private let plan: MemoryPlan
  private let parameters: BootParameters

  /// Plans, and finds all that is wrong with it.
  init(_ options: GuestOptions, devices: [DeviceDescription]) throws(LguestError) {
    memoryName = options.memoryName
    kernelFile = try GuestFile(options.kernel)
    kernel = try KernelImage(kernelFile)
    initrdFile =
      if let path = options.initrd { try GuestFile(path) } else { nil }
    let memory = options.memory & ~(GuestSizes.page - 1)
    guard memory <= GuestSizes.addressLimit else { throw .tooMuchMemory(memory: memory) }
    page = try DevicePage(devices, at: memory)
    plan = try MemoryPlan(
      memory: memory, kernelEnd: kernel.end, initrd: initrdFile.map { ($0.path, $0.size) },
      deviceBytes: page.end - memory)
    parameters = try BootParameters(plan, commandLine: options.commandLine)
  }

  /// Where the guest starts.
  var entry: UInt32 { kernel.entry }

  /// Looks whether the host has the memory, as far as it tells before that is used.
  func reserve() throws(LguestError) {
    _ = try RunMemory(byteCount: page.end, name: memoryName)
  }

  /// The memory of a guest that is about to start.
  func load() throws(LguestError) -> RunMemory {
    let memory = try RunMemory(byteCount: page.end, name: memoryName)
    for piece in kernel.pieces {
      try copy(
        kernelFile, from: piece.offset, count: piece.byteCount, to: memory, at: piece.address)
    }
    if let initrd = plan.initrd, let file = initrdFile {
      try copy(file, from: 0, count: file.size, to: memory, at: initrd.address)
    }
    memory.write(parameters.page, at: GuestSizes.bootParameters)
    memory.write(parameters.commandLine, at: GuestSizes.commandLine)
    memory.write(page.bytes, at: page.address)
    return memory
  }

  private func copy(
    _ file: GuestFile, from offset: UInt64, count: UInt64, to memory: RunMemory, at address: UInt64
  ) throws(LguestError) {
    do throws(Errno) {
      // What was planned fits, unless the file has become shorter since.
      guard try memory.load(file.descriptor, from: offset, count: count, at: address) else {
        throw Errno.io
      }
    } catch {
      throw .unreadable(path: file.path, error)
    }
  }
}
