// SPDX-License-Identifier: Apache-2.0
//
// FleetReader: goes through a fleet's tree. It goes on after an error, so that all are told at once; what comes
// out after one is not used.

import LguestTransport
import Logging

/// Reads one file.
struct FleetReader {
  /// What is wrong, in the order in which it was found.
  private(set) var errors: [TextError] = []
  /// Where relative paths begin; nil for the working directory.
  private let directory: String?
  /// What only one guest can have, and who has it.
  private var owners: [String: (guest: String, isShared: Bool)] = [:]

  init(directory: String?) { self.directory = directory }

  /// Reads a text. - Returns: nil where it is not even a map with guests.
  mutating func plan(_ text: [UInt8]) throws(TextError) -> FleetPlan? {
    var duplicates: [TextError] = []
    let root = try YAMLNode(text) { duplicates.append($0) }
    errors += duplicates
    guard let root else {
      complain(
        TextPosition(line: 1, column: 1), "the file is empty; write guests: and what they are")
      return nil
    }
    guard var top = Map(root, of: "a fleet", &errors) else { return nil }
    var level = Logger.Level.info
    if let (node, text) = top.text("log-level", &errors) { level = logLevel(node, text) }
    let pidfile = top.text("pidfile", &errors)?.text
    let guests = top.take("guests")
    top.finish(&errors)
    guard let guests else {
      complain(root.position, "there is no guest; write guests: and below it a name for each")
      return nil
    }
    guard case .map(let entries) = guests.content, !entries.isEmpty else {
      complain(guests.position, "guests: has a name for each guest, and below it what it is")
      return nil
    }
    var plan = FleetPlan(entries.compactMap { guest($0) })
    plan.pidfile = pidfile.map(path)
    plan.logLevel = level
    return plan
  }

  private mutating func complain(_ position: TextPosition, _ message: String) {
    errors.append(TextError(position: position, message: message))
  }

  private mutating func logLevel(_ node: YAMLNode, _ text: String) -> Logger.Level {
    do throws(UsageError) { return try Logger.Level(argument: text, of: "log-level:") } catch {
      complain(node.position, error.description)
      return .info
    }
  }

  private func path(_ path: String) -> String { path.relative(to: directory) }

  // MARK: A guest

  private mutating func guest(_ entry: YAMLNode.Entry) -> GuestPlan? {
    let name = entry.key
    guard isDeviceName(name) else {
      complain(entry.position, "'\(name)' is not \(deviceNameForm)")
      return nil
    }
    guard var map = Map(entry.value, of: name, &errors) else { return nil }
    let kernel = map.text("kernel", &errors)?.text
    let initrd = map.text("initrd", &errors)?.text
    var places: [GuestPlan.Setting: TextPosition] = [:]
    let append = map.text("append", &errors)
    places[.append] = append?.node.position
    let export = map.text("export", &errors)
    places[.export] = export?.node.position
    var memory = MemoryArgument.usual
    if let (node, text) = map.text("memory", &errors) {
      memory = self.memory(node, text)
      places[.memory] = node.position
    }
    var devices: [DeviceArgument] = []
    for type in [DeviceType.block, .net, .console, .rng] {
      let node = map.take(type.rawValue)
      if let node { devices += self.devices(node, type, of: name) }
      // Who wants to look at a guest later finds it at its pseudo-terminal.
      if node == nil, type == .console, let pty = try? ConsoleArgument("pty") {
        devices.append(.console(pty))
      }
    }
    map.finish(&errors)
    guard let kernel else {
      complain(entry.position, "\(name) has no kernel; write kernel: bzImage or kernel: vmlinux")
      return nil
    }
    var guest = GuestOptions(kernel: path(kernel), memory: memory.byteCount)
    guest.memoryName = memory.name
    guest.initrd = initrd.map(path)
    guest.commandLine = append?.text ?? ""
    if let export { claim("mount point \(path(export.text))", export.node, name) }
    return GuestPlan(
      name: name, guest: guest, devices: devices, export: (export?.text).map(path)
    ) { setting, trouble in
      complain(places[setting] ?? entry.position, "\(name): \(trouble)")
    }
  }

  private mutating func memory(_ node: YAMLNode, _ text: String) -> MemoryArgument {
    do throws(DeviceStringError) { return try MemoryArgument(text) } catch {
      complain(node.position(ofColumn: error.column), "memory: \(error.message)")
      return .usual
    }
  }

  // MARK: Its devices

  private mutating func devices(
    _ node: YAMLNode, _ type: DeviceType, of guest: String
  ) -> [DeviceArgument] {
    let nodes = if case .list(let nodes) = node.content { nodes } else { [node] }
    return nodes.compactMap { node in
      guard let text = DeviceText(node, type, &errors), text.text != DeviceText.none else {
        return nil
      }
      do throws(DeviceStringError) {
        let device = try DeviceArgument(type, text.text).relative(to: directory)
        if let (thing, isShared) = device.resource { claim(thing, node, guest, isShared: isShared) }
        return device
      } catch {
        complain(text.position(ofColumn: error.column), "\(type.rawValue): \(error.message)")
        return nil
      }
    }
  }

  /// Looks whether another guest or device has the same thing of the host's.
  private mutating func claim(
    _ thing: String, _ node: YAMLNode, _ guest: String, isShared: Bool = false
  ) {
    if let owner = owners[thing] {
      guard !(isShared && owner.isShared) else { return }
      complain(node.position, "\(thing) is \(owner.guest)'s already")
    } else {
      owners[thing] = (guest, isShared)
    }
  }
}
