// SPDX-License-Identifier: Apache-2.0
//
// GuestBus: what a guest's notifies mean that no eventfd takes.
//
// An address is one of three things: a device's descriptor, after the driver has written the status; a
// ring, as a kick; or a string to print, which is how a guest speaks before it has a console.
//
// Of the status the bus knows as much as old guests tell. Linux 2.6.31 notifies after each change,
// 3.2 after a reset, after the features are settled and after a failure; neither waits for anything. So 0 resets,
// FAILED resets as well, DRIVER_OK starts, DRIVER without it clears the rings, and the rest means nothing. A driver
// that kicks without having said DRIVER_OK has settled its features by then: its device starts at that kick.
//
// The rings are cleared twice, as 3.2's drivers go on writing to them after the reset: they take back the buffers that
// the device did not use, and count the available index down for each. The next driver expects zeros.

import Backends
import Linux
import VirtioRing

/// The devices of one run of a guest.
final class GuestBus {
  private static let driver: UInt8 = 2
  private static let driverOK: UInt8 = 4
  private static let failed: UInt8 = 128
  /// The longest string that is printed at once. Linux sends 16 characters.
  private static let stringLimit = 1024

  private let memory: RunMemory
  private let gate: GuestGate
  private let page: DevicePage
  let devices: [BusDevice]
  private let output: @Sendable ([UInt8]) -> Void
  private let trouble: TroubleReport

  /// - Parameters:
  ///   - output: prints what the guest says early.
  ///   - trouble: what the guest does wrong.
  init(
    _ devices: [any Device], page: DevicePage, memory: RunMemory, gate: GuestGate,
    output: @escaping @Sendable ([UInt8]) -> Void, trouble: TroubleReport
  ) throws(LguestError) {
    self.memory = memory
    self.gate = gate
    self.page = page
    self.output = output
    self.trouble = trouble
    do throws(Errno) {
      var made: [BusDevice] = []
      for (device, slot) in zip(devices, page.slots) {
        made.append(try BusDevice(device, at: slot))
      }
      self.devices = made
    } catch {
      throw .host(action: "make an eventfd for each queue", reason: error)
    }
  }

  /// Does what a notify asks.
  func notified(_ address: UInt64) {
    for device in devices {
      if device.slot.address == address { return statusWritten(device) }
      for queue in device.queues where queue.slot.address == address {
        return kicked(queue, of: device)
      }
    }
    guard address < page.address else {
      trouble.report("the guest notifies 0x\(String(address, radix: 16)), where nothing is")
      return
    }
    printString(at: address)
  }

  /// Stops all devices side by side, and forgets their drivers.
  func end() {
    for device in devices { device.requestStop() }
    for device in devices {
      device.stop(gate)
      device.device.reset()
    }
  }

  private func status(of device: BusDevice) -> UInt8 {
    memory.read(at: device.slot.statusAddress, count: 1)?.first ?? Self.failed
  }

  private func statusWritten(_ device: BusDevice) {
    let status = status(of: device)
    if status == 0 {
      device.reset(memory: memory, gate: gate)
    } else if status & Self.failed != 0 {
      trouble.report("\(device.device.name): the guest's driver has given up")
      device.reset(memory: memory, gate: gate)
    } else if status & Self.driverOK != 0 {
      start(device)
    } else if status & Self.driver != 0, !device.isRunning {
      device.clearRings(memory)
    }
  }

  private func kicked(_ queue: BusQueue, of device: BusDevice) {
    if queue.isRunning {
      queue.wake()
    } else if status(of: device) & Self.failed == 0 {
      start(device)
    }
  }

  private func start(_ device: BusDevice) {
    guard !device.isRunning else { return }
    let name = device.device.name
    let trouble = trouble
    do {
      try device.start(memory: memory, gate: gate) { index, error in
        trouble.report("\(name): queue \(index) is stopped: \(error)")
      }
    } catch {
      trouble.report("\(name): cannot be started: \(error)")
    }
  }

  private func printString(at address: UInt64) {
    let room = Int(min(UInt64(Self.stringLimit), page.address - address))
    guard let bytes = memory.read(at: address, count: room) else { return }
    let text = bytes.prefix { $0 != 0 }
    if !text.isEmpty { output(Array(text)) }
  }
}
