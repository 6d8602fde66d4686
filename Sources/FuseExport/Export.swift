// SPDX-License-Identifier: Apache-2.0
//
// Export: guest disks as files, from the images to the mounted directory.
//
//     disk, part1 …   the image and its partitions, as files of their own size
//     by-label/       links to them by their file systems' labels; by-uuid/, by-partlabel/, by-partuuid/ likewise
//     info.json       what is known of them
//
// The pieces, from the inside out: an ImageSpan keeps requests within their bytes; an ExportImage is a disk
// with its layout and size; the ExportTree has names and attributes; an OpenFile does what is asked of an open
// file; the files *Memory.swift are the way from and to libfuse.

public import Backends
import DiskLayout
import Linux

/// Guest disks, mounted as a directory.
public final class Export: Sendable {
  /// A disk to show.
  public enum Source: Sendable {
    /// An image that nobody else writes: it is locked as a disk's is, so a running guest's is refused.
    case image(path: String, writable: Bool)
    /// The disk of a running guest, under a name. It is shown read-only, as its guest has written it.
    case disk(name: String, BlockDevice)
  }

  private let images: [ExportImage]
  private let session: FuseSession
  /// Where it is mounted.
  public let mountPoint: String

  /// Opens and locks the images, and looks at the mount point. Nothing is mounted yet.
  ///
  /// - Throws: what is wrong, with its path: the image, or the mount point.
  public init(_ sources: [Source], _ options: ExportOptions) throws(ExportError) {
    guard !sources.isEmpty else { throw ExportError("there is no disk to export") }
    let place = try MountPoint(
      options.mountPoint, imageCount: sources.count, coversEntries: options.coversEntries,
      allowsOthers: options.allowsOthers)
    let trouble = TroubleReport(options.onTrouble)
    var images: [ExportImage] = []
    for source in sources {
      images.append(try Self.open(source, among: images, options, trouble))
    }
    self.images = images
    var options = options
    mountPoint = options.mountPoint
    options.mountPoint = place.path
    session = try FuseSession(
      ExportTree(images, isFile: place.isFile, options), options,
      source: MountWords.source(images.map(\.view.path)))
  }

  private static func open(
    _ source: Source, among others: [ExportImage], _ options: ExportOptions,
    _ trouble: TroubleReport
  ) throws(ExportError) -> ExportImage {
    let view: DiskView
    var name: String
    do throws(DeviceError) {
      switch source {
      case .image(let path, let writable):
        view = try DiskView(path: path, writable: writable, format: options.format)
        name = path.split(separator: "/").last.map(String.init) ?? path
      case .disk(let id, let disk):
        view = try DiskView(of: disk)
        name = id
      }
    } catch {
      throw ExportError(error.description)
    }
    // Images of one name from several directories.
    let plain = name
    var number = 2
    while others.contains(where: { $0.name == name }) {
      name = "\(plain).\(number)"
      number += 1
    }
    return try ExportImage(view, name: name, options, trouble: trouble.separate())
  }

  // MARK: Life

  /// Mounts, and serves until it is unmounted or `stop()` is called.
  ///
  /// - Throws: why it cannot be mounted.
  public func start() throws(ExportError) {
    try session.start()
    widenReadahead()
  }

  /// Lets the kernel read ahead as much as fits into a request, where it keeps what was read. Its own choice is an
  /// eighth of that. Only root can.
  private func widenReadahead() {
    guard let device = (try? FileSystem.status(of: session.mountPoint))?.device else { return }
    let major = device >> 8 & 0xfff | device >> 32 & ~0xfff
    let minor = device & 0xff | device >> 12 & ~0xff
    let path = "/sys/class/bdi/\(major):\(minor)/read_ahead_kb"
    guard let setting = try? FileDescriptor.open(path, .writeOnly) else { return }
    _ = try? setting.write(Array("1024".utf8))
  }

  /// Readable when it was unmounted, by whomever.
  public var endDescriptor: Int32 { session.endDescriptor }

  /// Finishes requests under way and unmounts. It must be called after `start()`, also where somebody else has
  /// unmounted it; a second time does nothing. Who has files open there meets errors from now on.
  public func stop() { session.stop() }

  /// Unmounts as `fusermount3 -u` does: not while something uses it. It is served meanwhile, so `stop()` is still to
  /// be called.
  ///
  /// - Returns: false where something uses it: see `holders`.
  public func unmount() -> Bool {
    let path = session.mountPoint
    // Something else may be mounted over it.
    if let top = MountTable.read()?.top(at: path), !top.kind.hasPrefix("fuse") { return false }
    do throws(Errno) { try FileSystem.unmount(path) } catch {
      switch error {
      case .busy: return false
      // A user's mount. The program does not tell why it refuses.
      case .permission:
        return (try? HelperProcess.run(["fusermount3", "-u", "-q", "--", path])) == 0
      // Somebody else has unmounted it.
      default: return true
      }
    }
    return true
  }

  /// Who uses the mount, as far as this user may see: a few words each.
  public var holders: [String] { MountHolders(of: session.mountPoint).words }

  /// Whether what is mounted can be written.
  public var isWritable: Bool { images.contains { $0.view.isWritable } }

  /// Takes the mount away without waiting for requests: for a process that is about to end. Unlike `stop()` it
  /// may be called at any time, from any thread.
  public func detach() {
    let path = session.mountPoint
    do throws(Errno) { try FileSystem.detachMount(path) } catch {
      guard error == .permission else { return }
      _ = try? HelperProcess.run(["fusermount3", "-u", "-z", "-q", "--", path])
    }
  }

  /// Looks whether the images are still whole, and says in a line where one has shrunk or was removed. To be
  /// called from time to time.
  public func inspect() { for image in images { image.inspect() } }

  // MARK: What is shown

  /// What was found on the disks that looks wrong, such as a broken partition table: a line each.
  public var warnings: [String] {
    images.flatMap { image in image.layout.warnings.map { "\(image.view.path): \($0)" } }
  }

  /// A line for each disk: its image, its size, its partitions.
  public var summaries: [String] {
    images.map { image in
      let layout = image.layout
      let partitions = layout.partitions.count
      let table =
        partitions == 0
        ? layout.fileSystem.map { "\($0.kind.rawValue)" } ?? "no partitions"
        : "\(layout.table.rawValue), \(partitions) partition\(partitions == 1 ? "" : "s")"
      return "\(image.view.path): \(image.lastByteCount) bytes, \(table)"
        + (image.view.isWritable ? ", writable" : ", read-only")
        + (image.view.isLive ? ", live" : "")
    }
  }

  /// What the kernel and libfuse have agreed on. Known once something was looked at.
  public var agreement: String { session.connection.summary }
}
