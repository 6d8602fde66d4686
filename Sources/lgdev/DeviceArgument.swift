// SPDX-License-Identifier: Apache-2.0

/// One device of the command line.
enum DeviceArgument: Equatable {
  case block(BlockArgument)
  case net(NetArgument)
  case console(ConsoleArgument)
  case rng(RngArgument)

  /// Reads what stands after the option of a type.
  init(_ type: DeviceType, _ text: String) throws(DeviceStringError) {
    switch type {
    case .block: self = .block(try BlockArgument(text))
    case .net: self = .net(try NetArgument(text))
    case .console: self = .console(try ConsoleArgument(text))
    case .rng: self = .rng(try RngArgument(text))
    }
  }

  var type: DeviceType {
    switch self {
    case .block: .block
    case .net: .net
    case .console: .console
    case .rng: .rng
    }
  }

  /// The name that the user chose.
  var id: String? {
    switch self {
    case .block(let argument): argument.id
    case .net(let argument): argument.id
    case .console(let argument): argument.id
    case .rng(let argument): argument.id
    }
  }
}
