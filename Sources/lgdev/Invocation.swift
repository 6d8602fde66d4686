// SPDX-License-Identifier: Apache-2.0
//
// Invocation: what must be settled before ArgumentParser sees a command line.
//
// QEMU's back-end conventions want one program per device type, which prints its capabilities whatever
// else stands on its command line. So lgdev also goes by the names lgdev-block, lgdev-net,
// lgdev-console and lgdev-rng (links to it): each means `lgdev serve` and settles the type.
//
// mount(8) runs `mount.fuse.lgdev SOURCE DIRECTORY [-sfnv] [-o options] [-t type]` for a file system of type
// fuse.lgdev where there is such a program (a link, too), and else mount.fuse3, which runs `lgdev SOURCE DIRECTORY
// -o options`.

/// One of the four devices.
enum DeviceType: String, CaseIterable {
  case block, net, console, rng
}

/// A command line made ready for parsing.
struct Invocation: Equatable {
  /// The arguments, without the program's name.
  let arguments: [String]
  /// The type whose capabilities are asked for; nil where they are not.
  let capabilitiesWanted: DeviceType?

  init(_ commandLine: [String]) {
    let program = commandLine.first?.split(separator: "/").last ?? ""
    let linkType = DeviceType.allCases.first { program == "lgdev-\($0.rawValue)" }
    if let mount = Self.mountArguments(String(program), Array(commandLine.dropFirst())) {
      arguments = mount
      capabilitiesWanted = nil
      return
    }
    var arguments = Array(commandLine.dropFirst())
    capabilitiesWanted =
      arguments.contains("--print-capabilities")
      ? linkType ?? Self.typeNamed(in: arguments) : nil
    // ArgumentParser has no options with an optional value: a --rng without one gets `on`.
    for index in arguments.indices where arguments[index] == "--rng" {
      let next = index + 1 < arguments.count ? arguments[index + 1] : "-"
      if next.hasPrefix("-") { arguments[index] = "--rng=\(RngArgument.plain)" }
    }
    self.arguments = linkType == nil ? arguments : ["serve"] + arguments
  }

  /// What a call by mount(8) means; nil where it is none.
  private static func mountArguments(_ program: String, _ arguments: [String]) -> [String]? {
    let isThroughFuse =
      arguments.count == 4 && arguments[2] == "-o" && arguments[0] != "export"
      && !arguments[0].hasPrefix("-")
    guard program == "mount.fuse.lgdev" || isThroughFuse else { return nil }
    var result = ["export", "--as-mount-helper"]
    var rest = arguments[...]
    while let word = rest.popFirst() {
      switch word {
      case "-o": result += ["-o", rest.popFirst() ?? ""]
      case "-t", "-N": _ = rest.popFirst()
      case "-s", "-n", "-v", "-sn", "-nv", "-sv", "-snv": continue
      default: result.append(word)
      }
    }
    return result
  }

  /// The type of the first device on the command line. `--blk-file` and `--read-only` are block's, and
  /// without any device it is block as well.
  private static func typeNamed(in arguments: [String]) -> DeviceType {
    for argument in arguments {
      let name = argument.prefix { $0 != "=" }
      if let type = DeviceType.allCases.first(where: { name == "--\($0.rawValue)" }) { return type }
    }
    return .block
  }
}
