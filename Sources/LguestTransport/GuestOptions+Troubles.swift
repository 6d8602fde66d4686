// SPDX-License-Identifier: Apache-2.0

extension GuestOptions {
  /// All that can be found wrong with a guest without a look at a file or at the host.
  ///
  /// - Parameter devices: their names and the sizes of their queues.
  package func troubles(devices: [(name: String, queueSizes: [UInt16])]) -> [LguestError] {
    var troubles: [LguestError] = []
    func note(_ check: () throws(LguestError) -> Void) {
      do throws(LguestError) { try check() } catch { troubles.append(error) }
    }
    var deviceBytes = GuestSizes.page
    note { () throws(LguestError) in
      let outlines = devices.map {
        DeviceDescription(outlineOf: $0.name, queueSizes: $0.queueSizes)
      }
      deviceBytes = try DevicePage(outlines, at: 0).end
    }
    // A kernel needs more, and an initrd as well.
    note { () throws(LguestError) in
      _ = try MemoryPlan(memory: memory, kernelEnd: 0, initrd: nil, deviceBytes: deviceBytes)
    }
    note { () throws(LguestError) in _ = try BootParameters.bytes(ofCommandLine: commandLine) }
    return troubles
  }
}
