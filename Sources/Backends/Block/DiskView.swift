// SPDX-License-Identifier: Apache-2.0
//
// DiskView: an image for somebody who is no guest: what shows disks as files.
//
// Either it opens and locks an image by itself, by the rules of BlockImage, or it looks at the image of a
// disk that is served. Then it stands on that disk's lock and sees the same open file's page cache, so what a
// guest has written is there, and it never writes.

package import Linux

/// An open image beside its guest, or without one.
package final class DiskView: Sendable {
  /// The image's path.
  package let path: String
  /// Whether it may be written.
  package let isWritable: Bool
  /// Whether a guest may write to it meanwhile.
  package let isLive: Bool
  /// Whether it is a block device, whose size is not that of a file.
  package let isBlockDevice: Bool
  /// How large its sectors are for the guest, in bytes; nil where nobody knows.
  package let sectorSize: Int?
  /// An open file of this view's own, through the page cache.
  package let file: FileDescriptor
  /// Keeps the lock.
  private let image: BlockImage
  /// What counts the guest's writes; nil without a guest.
  private let watch: WriteWatch?

  /// Opens and locks an image.
  ///
  /// - Parameter format: nil to refuse what looks like another format than raw.
  package init(
    path: String, writable: Bool, format: BlockOptions.Format? = nil
  ) throws(DeviceError) {
    var options = BlockOptions(path: path)
    options.format = format
    options.isReadOnly = !writable
    image = try BlockImage(options, action: "export image \(path)")
    _ = try image.readSize()
    self.path = path
    isWritable = writable
    isLive = false
    watch = nil
    isBlockDevice = image.isBlockDevice
    file = try image.openAnew(writable ? .readWrite : .readOnly)
    sectorSize = isBlockDevice ? try? file.logicalBlockSize() : nil
  }

  /// Looks at the image of a disk.
  package init(of disk: BlockDevice) throws(DeviceError) {
    image = disk.image
    path = disk.image.path
    isWritable = false
    isLive = true
    isBlockDevice = image.isBlockDevice
    file = try image.openAnew(.readOnly)
    sectorSize = image.options.blockSize
    watch = disk.watchWrites()
  }

  /// What stands for the state of a range: where it is the same before and after a read, no write of the
  /// guest went on meanwhile. Nil while one does.
  package func look(at offset: UInt64, _ count: Int) -> UInt64? {
    guard let watch else { return 0 }
    return watch.look(Int(clamping: offset), count)
  }

  /// The image's size in bytes now.
  package func readByteCount() throws(Errno) -> UInt64 {
    isBlockDevice ? try file.blockDeviceSize() : try file.status().size
  }
}
