// SPDX-License-Identifier: Apache-2.0
//
// BlockImage: an image file or block device, open and locked.
//
// The first descriptor finds out what the path names and holds the lock. The queues' files are opened
// anew through /proc/self/fd, so that they are surely the same file even if the path changes under us.

import Linux

/// An image, for as long as its disk exists.
final class BlockImage: Sendable {
  let options: BlockOptions
  private let action: String
  private let descriptor: FileDescriptor
  /// Whether it is a block device, whose size is not that of a file.
  let isBlockDevice: Bool

  /// What the host prefers to write at once, in bytes: a power of two.
  let physicalBlockSize: Int
  /// What direct transfers ask for.
  let alignment: DirectAlignment

  /// The largest physical block that is told to a driver.
  private static let maximumPhysicalBlockSize = 64 * 1024

  /// The image's path.
  var path: String { options.path }

  /// Opens and locks the image.
  ///
  /// - Parameter action: what errors say was tried; by default that the image is served.
  init(_ options: BlockOptions, action: String? = nil) throws(DeviceError) {
    try options.validate()
    self.options = options
    let isServed = action == nil
    let action = action ?? "serve image \(options.path)"
    self.action = action
    descriptor = try Self.open(options, action, isServed: isServed)
    let status: FileStatus
    do throws(Errno) {
      status = try descriptor.status()
    } catch {
      throw DeviceError(action, error)
    }
    guard status.kind == .regular || status.kind == .blockDevice else {
      throw DeviceError(action, "it is neither a regular file nor a block device; name one")
    }
    isBlockDevice = status.kind == .blockDevice
    if isBlockDevice, !options.isReadOnly, (try? descriptor.isReadOnlyBlockDevice()) == true {
      throw DeviceError(action, "the device is read-only; use it read-only")
    }
    physicalBlockSize = Self.physicalBlockSize(descriptor, status, atLeast: options.blockSize)
    alignment = try Self.directAlignment(descriptor, isBlockDevice: isBlockDevice, action)
    try ImageLock.take(descriptor, writable: !options.isReadOnly, action: action)
    if options.format == nil { try refuseForeignFormat(isServed: isServed) }
  }

  /// Refuses an image that is no raw one, as far as that can be seen.
  private func refuseForeignFormat(isServed: Bool) throws(DeviceError) {
    let option = isServed ? "format=raw" : "--format raw"
    let format: ForeignFormat?
    do throws(Errno) {
      format = try ForeignFormat.find(in: descriptor, byteCount: readByteCount())
    } catch {
      throw DeviceError(
        action, "its format cannot be looked at (\(error)); if it is raw, say \(option)")
    }
    if let format { throw DeviceError(action, format.advice(path: path, option: option)) }
  }

  private static func open(
    _ options: BlockOptions, _ action: String, isServed: Bool
  ) throws(DeviceError) -> FileDescriptor {
    do throws(Errno) {
      // Not to wait matters where the path names a pipe or a terminal, which are refused above. What the system
      // itself has mounted would be damaged by another writer, and that file system by it.
      let mode: OpenFlags = options.isReadOnly ? .readOnly : [.readWrite, .exclusive]
      return try FileDescriptor.open(
        options.path, mode.union([.nonBlocking, .noControllingTerminal]))
    } catch .notFound {
      // Who exports an image means one that is there.
      let advice = isServed ? "make one with 'truncate -s 1G \(options.path)'" : "name another"
      throw DeviceError(action, "there is no such file; \(advice)")
    } catch .isDirectory {
      throw DeviceError(action, "it is a directory; name a file in it")
    } catch .busy {
      throw DeviceError(
        action,
        "it is mounted, or this machine uses it otherwise; unmount it (findmnt, lsblk), or use it read-only"
      )
    } catch .noSuchDeviceOrAddress {
      throw DeviceError(action, "it is a socket, or a device that is not there; name another")
    } catch {
      switch error {
      case .readOnlyFileSystem, .accessDenied, .permission:
        let advice = options.isReadOnly ? "" : "; change its permissions, or use it read-only"
        throw DeviceError(action, error.description + advice)
      default:
        throw DeviceError(action, error)
      }
    }
  }

  private static func physicalBlockSize(
    _ descriptor: borrowing FileDescriptor, _ status: FileStatus, atLeast minimum: Int
  ) -> Int {
    let device = status.kind == .blockDevice ? try? descriptor.physicalBlockSize() : nil
    let size = device ?? status.blockSize
    guard size > 0, size & (size - 1) == 0, size <= maximumPhysicalBlockSize else { return minimum }
    return max(minimum, size)
  }

  private static func directAlignment(
    _ descriptor: borrowing FileDescriptor, isBlockDevice: Bool, _ action: String
  ) throws(DeviceError) -> DirectAlignment {
    // What no device asks more than.
    let safe = DirectAlignment(memory: 4096, offset: 4096)
    if let told = try? descriptor.directAlignment() {
      // 0: the file cannot do it. Opening it so will say that.
      guard told.memory > 0, told.offset > 0 else { return safe }
      return DirectAlignment(memory: told.memory, offset: told.offset)
    }
    if isBlockDevice, let size = try? descriptor.logicalBlockSize(), size > 0 {
      return DirectAlignment(memory: size, offset: size)
    }
    return safe
  }

  private func readByteCount() throws(Errno) -> UInt64 {
    isBlockDevice ? try descriptor.blockDeviceSize() : try descriptor.status().size
  }

  /// Reads the size.
  ///
  /// - Returns: in bytes, whole blocks.
  func readSize() throws(DeviceError) -> UInt64 { try readSizes().whole }

  /// Reads the size in bytes: whole blocks, and what is left behind them.
  func readSizes() throws(DeviceError) -> (whole: UInt64, rest: UInt64) {
    let size: UInt64
    do throws(Errno) {
      size = try readByteCount()
    } catch {
      throw DeviceError(action, error)
    }
    let block = UInt64(options.blockSize)
    guard size >= block else {
      throw DeviceError(
        action,
        "it has \(size) bytes, less than a block of \(block); make it longer, or name another")
    }
    return (size - size % block, size % block)
  }

  /// Opens the image anew, for one queue.
  ///
  /// - Parameter bounces: whether transfers will be made with it, which may need a buffer.
  func openFile(bounces: Bool = true) throws(DeviceError) -> ImageFile {
    let mode: OpenFlags = options.isReadOnly ? .readOnly : .readWrite
    let path = "/proc/self/fd/\(descriptor.raw)"
    var direct: FileDescriptor?
    if options.cache.isDirect {
      do throws(Errno) {
        direct = try FileDescriptor.open(path, [mode, .direct])
      } catch .invalidArgument {
        let buffered: BlockOptions.Cache =
          options.cache.isWriteThrough ? .writethrough : .writeback
        throw DeviceError(
          action, "its file system has no direct I/O; use cache=\(buffered.rawValue)")
      } catch {
        throw Self.reopening(error, action)
      }
    }
    do throws(Errno) {
      return ImageFile(
        buffered: try FileDescriptor.open(path, mode), direct: direct, alignment: alignment,
        bounces: bounces)
    } catch {
      throw Self.reopening(error, action)
    }
  }

  /// Opens the image anew, through the page cache.
  func openAnew(_ mode: OpenFlags) throws(DeviceError) -> FileDescriptor {
    do throws(Errno) {
      return try FileDescriptor.open("/proc/self/fd/\(descriptor.raw)", mode)
    } catch {
      throw Self.reopening(error, action)
    }
  }

  /// Why the image cannot be opened again. It is open, so what is not found is not the image.
  static func reopening(_ error: Errno, _ action: String) -> DeviceError {
    guard error == .notFound else { return DeviceError(action, error) }
    return DeviceError(
      action, "there is no /proc to open it again with; mount it with 'mount -t proc proc /proc'")
  }
}
