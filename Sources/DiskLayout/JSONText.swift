// SPDX-License-Identifier: Apache-2.0
//
// JSONText: JSON without Foundation, for what libraries show of themselves. Members stand in the order in
// which they are given, so a text is stable.

/// A JSON value (RFC 8259) that can be written out.
public enum JSONText: Equatable, Sendable {
  /// An object; members are written in this order.
  case object([(name: String, value: JSONText)])
  /// An array.
  case array([JSONText])
  /// A string.
  case string(String)
  /// A number that is not negative.
  case number(UInt64)
  /// True or false.
  case bool(Bool)
  /// Null.
  case null

  /// A string, or null.
  public init(_ text: String?) { self = text.map { .string($0) } ?? .null }

  /// Equal members in the same order.
  public static func == (one: JSONText, other: JSONText) -> Bool { one.text == other.text }

  /// Written out over several lines, indented by two spaces, with a line feed at the end.
  public var text: String {
    var text = ""
    write(to: &text, indent: "")
    return text + "\n"
  }

  private func write(to text: inout String, indent: String) {
    let inner = indent + "  "
    switch self {
    case .object(let members) where members.isEmpty: text += "{}"
    case .array(let elements) where elements.isEmpty: text += "[]"
    case .object(let members):
      for (index, member) in members.enumerated() {
        text += (index == 0 ? "{\n" : ",\n") + inner + Self.quoted(member.name) + ": "
        member.value.write(to: &text, indent: inner)
      }
      text += "\n\(indent)}"
    case .array(let elements):
      for (index, element) in elements.enumerated() {
        text += (index == 0 ? "[\n" : ",\n") + inner
        element.write(to: &text, indent: inner)
      }
      text += "\n\(indent)]"
    case .string(let string): text += Self.quoted(string)
    case .number(let number): text += String(number)
    case .bool(let bool): text += bool ? "true" : "false"
    case .null: text += "null"
    }
  }

  /// A string in quotation marks. What could change a terminal is escaped too, beyond what JSON asks for.
  private static func quoted(_ string: String) -> String {
    var text = "\""
    for character in string.unicodeScalars {
      switch character {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where isVisible(character): text.unicodeScalars.append(character)
      default:
        for unit in UTF16.encode(character) ?? .init(repeatElement(0xfffd, count: 1)) {
          text += "\\u" + hexadecimal(unit, digits: 4)
        }
      }
    }
    return text + "\""
  }
}
