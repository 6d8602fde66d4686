// SPDX-License-Identifier: Apache-2.0

extension FleetReader {
  /// A map whose keys are taken one after the other; what nobody has asked for is told at the end. So the keys that
  /// exist are written down once, where they are used.
  struct Map {
    private var entries: [YAMLNode.Entry]
    private var known: [String] = []

    /// - Parameter owner: whose settings they are, for the error.
    /// - Returns: nil for what is no map.
    init?(_ node: YAMLNode, of owner: String, _ errors: inout [TextError]) {
      guard case .map(let entries) = node.content else {
        errors.append(
          TextError(position: node.position, message: "\(owner) is a list of settings, key: value"))
        return nil
      }
      self.entries = entries
    }

    /// Takes what a key has.
    mutating func take(_ key: String) -> YAMLNode? {
      known.append(key)
      guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
      return entries.remove(at: index).value
    }

    /// Takes a text that is not empty.
    mutating func text(
      _ key: String, _ errors: inout [TextError]
    ) -> (node: YAMLNode, text: String)? {
      guard let node = take(key) else { return nil }
      guard case .text(let text, _) = node.content, !text.isEmpty else {
        errors.append(TextError(position: node.position, message: "\(key): needs one value"))
        return nil
      }
      guard !text.unicodeScalars.contains("\0") else {
        errors.append(TextError(position: node.position, message: "\(key): holds a zero byte"))
        return nil
      }
      return (node, text)
    }

    /// Tells of keys that nobody has asked for.
    func finish(_ errors: inout [TextError]) {
      for entry in entries {
        errors.append(
          TextError(position: entry.position, message: unknownKey(entry.key, known)))
      }
    }
  }
}

/// A device of a fleet's file in the form of the command line, and the places that its characters came from.
struct DeviceText {
  /// What a guest has that is to have none.
  static let none = "none"

  /// As after `--block`.
  let text: String
  /// Where in the text a part begins, and where that stands in the file.
  private var places: [(column: Int, position: TextPosition)] = []
  private let node: YAMLNode

  /// - Returns: nil where it is neither a text nor a map of texts.
  init?(_ node: YAMLNode, _ type: DeviceType, _ errors: inout [TextError]) {
    func complain(_ node: YAMLNode, _ message: String) {
      errors.append(TextError(position: node.position, message: "\(type.rawValue): \(message)"))
    }
    self.node = node
    switch node.content {
    case .text(let text, let isPlain):
      guard !text.unicodeScalars.contains("\0") else {
        complain(node, "holds a zero byte")
        return nil
      }
      self.text = Self.meaning(text, isPlain: isPlain, type)
    case .map(let entries) where type != .console:
      var text = ""
      for entry in entries {
        guard case .text(let value, _) = entry.value.content, !value.unicodeScalars.contains("\0")
        else {
          complain(entry.value, "'\(entry.key)' needs one value")
          return nil
        }
        if !text.isEmpty { text += "," }
        places.append((text.count + 1, entry.position))
        text += entry.key.doublingCommas
        if !value.isEmpty {
          places.append((text.count + 1, entry.value.position))
          text += "=\(value.doublingCommas)"
        }
      }
      self.text = text
    default:
      complain(node, "write it as after --\(type.rawValue), such as \(Self.example(type))")
      return nil
    }
  }

  /// YAML's words for yes and no stand for an entropy source without a value, and for no device.
  private static func meaning(_ text: String, isPlain: Bool, _ type: DeviceType) -> String {
    guard isPlain else { return text }
    switch text {
    case none: return none
    case "off", "no", "false": return none
    case "", "on", "yes", "true": return type == .rng ? RngArgument.plain : text
    default: return text
    }
  }

  private static func example(_ type: DeviceType) -> String {
    switch type {
    case .block: "path=disk.img"
    case .net: "tap=tap0"
    case .console: "pty:LINK,size=80x25"
    case .rng: "source=/dev/hwrng"
    }
  }

  /// Where the n-th character of the text stands in the file.
  func position(ofColumn column: Int) -> TextPosition {
    places.last { $0.column <= column }?.position ?? node.position(ofColumn: column)
  }
}

extension String {
  fileprivate var doublingCommas: String {
    split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
  }
}
