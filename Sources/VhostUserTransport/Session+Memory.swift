// SPDX-License-Identifier: Apache-2.0
//
// Memory that comes and goes, also while rings run: before a request is answered, every worker has
// gone over to the new table, and nothing uses what is only in the old one.

import Linux
import VirtioRing

extension Session {
  func setMemoryTable(
    _ payload: [UInt8], _ descriptors: inout FileDescriptorList
  ) throws(SessionError) {
    let table = RegionDescription.table(payload, limit: Session.memoryTableLimit)
    guard let table else { throw .badPayload(.setMemoryTable, byteCount: payload.count) }
    guard table.count == descriptors.count else {
      throw .badDescriptorCount(.setMemoryTable, count: descriptors.count)
    }
    var regions: [MappedRegion] = []
    for (index, description) in table.enumerated() {
      regions.append(try Self.map(description, descriptors.take(at: index)))
    }
    do {
      changeMemory(try MemoryTable(regions))
    } catch {
      throw .memory(error)
    }
  }

  func addMemoryRegion(
    _ payload: [UInt8], _ descriptors: inout FileDescriptorList
  ) throws(SessionError) {
    guard let description = RegionDescription(singleRegion: payload) else {
      throw .badPayload(.addMemoryRegion, byteCount: payload.count)
    }
    let region = try Self.map(description, descriptors.take(at: 0))
    do {
      changeMemory(try memory.adding(region))
    } catch {
      throw .memory(error)
    }
  }

  func removeMemoryRegion(_ payload: [UInt8]) throws(SessionError) {
    guard let description = RegionDescription(singleRegion: payload) else {
      throw .badPayload(.removeMemoryRegion, byteCount: payload.count)
    }
    do {
      changeMemory(try memory.removing(description))
    } catch {
      throw .memory(error)
    }
  }

  private static func map(
    _ description: RegionDescription, _ descriptor: consuming FileDescriptor?
  ) throws(SessionError) -> MappedRegion {
    guard let descriptor else {
      throw .badDescriptorCount(.addMemoryRegion, count: 0)
    }
    do {
      return try MappedRegion(description, descriptor)
    } catch {
      throw .memory(error)
    }
  }

  /// Takes running rings over to another table. A ring that moves in guest-physical memory, or is
  /// not there any more, stops; `reconcile` starts it where it is now, or reports it.
  private func changeMemory(_ new: MemoryTable) {
    for ring in rings where ring.isRunning {
      let layout = ring.address.flatMap { new.layout($0, isPacked: ring.isPacked) }
      if let guest = new.guest, let layout, layout == ring.layout {
        ring.replaceMemory(guest)
      } else {
        ring.halt()
      }
    }
    memory = new
  }
}
