// SPDX-License-Identifier: Apache-2.0

import DiskLayout
import Linux
import Testing

@testable import Backends
@testable import FuseExport

@Suite struct LiveReadTests {
  /// Reads the first blocks of a running guest's disk.
  private func read(_ file: OpenFile, patience: UInt64) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xff, count: 8192)
    // SAFETY: the array's own memory, during the call.
    let count = try unsafe bytes.withUnsafeMutableBytes { memory in
      try unsafe file.read(into: memory, at: 0, patience: patience)
    }
    return Array(bytes[..<count])
  }

  @Test("what a guest is writing is not read before it has ended, and everything else is")
  func beside() throws {
    let image = try Memfd.create(name: "image", size: 1 << 20)
    let disk = try BlockDevice(
      name: "disk", options: BlockOptions(path: "/proc/self/fd/\(image.raw)"))
    let shown = try ExportImage(
      DiskView(of: disk), name: "disk", ExportOptions(mountPoint: "/nowhere"),
      trouble: TroubleReport(nil))
    let tree = ExportTree([shown], isFile: false, ExportOptions(mountPoint: "/nowhere"))
    let file = try tree.open(.disk(image: 0), forWriting: false)
    let watch = disk.watchWrites()
    #expect(try read(file, patience: 0) == [UInt8](repeating: 0, count: 8192))
    watch.begin(4096 + 512, 512)
    #expect(throws: Errno.io) { try read(file, patience: 0) }
    watch.end(4096 + 512, 512)
    // A write elsewhere is in nobody's way.
    watch.begin(8192, 4096)
    #expect(try read(file, patience: 0).count == 8192)
    watch.end(8192, 4096)
  }

  @Test("a reader that waits sees the write whole")
  func waiting() throws {
    let image = try Memfd.create(name: "image", size: 1 << 20)
    let disk = try BlockDevice(
      name: "disk", options: BlockOptions(path: "/proc/self/fd/\(image.raw)"))
    let shown = try ExportImage(
      DiskView(of: disk), name: "disk", ExportOptions(mountPoint: "/nowhere"),
      trouble: TroubleReport(nil))
    let tree = ExportTree([shown], isFile: false, ExportOptions(mountPoint: "/nowhere"))
    let file = try tree.open(.disk(image: 0), forWriting: false)
    let watch = disk.watchWrites()
    watch.begin(0, 512)
    _ = try image.write([UInt8](repeating: 1, count: 256), at: 0)
    let reader = try WorkerThread.start(name: "reader", state: file) { file in
      (try? read(file, patience: .max)) ?? []
    }
    _ = try image.write([UInt8](repeating: 1, count: 256), at: 256)
    watch.end(0, 512)
    #expect(reader.join().prefix(512) == ArraySlice([UInt8](repeating: 1, count: 512)))
  }

  @Test("an MBR of a guest whose disk has blocks of 4096 bytes counts in those")
  func blocks() throws {
    let image = try Memfd.create(name: "image", size: 2 << 20)
    var table = [UInt8](repeating: 0, count: 512)
    // Linux, from sector 64 on, 128 sectors.
    table[450] = 0x83
    table[454] = 64
    table[458] = 128
    table[510] = 0x55
    table[511] = 0xaa
    _ = try image.write(table, at: 0)
    var options = BlockOptions(path: "/proc/self/fd/\(image.raw)")
    options.blockSize = 4096
    let disk = try BlockDevice(name: "disk", options: options)
    let shown = try ExportImage(
      DiskView(of: disk), name: "disk", ExportOptions(mountPoint: "/nowhere"),
      trouble: TroubleReport(nil))
    #expect(shown.layout.sectorSize == 4096)
    #expect(shown.layout.partitions.map(\.start) == [64 * 4096])
    #expect(shown.layout.partitions.map(\.byteCount) == [128 * 4096])
  }
}
