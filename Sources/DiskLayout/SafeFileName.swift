// SPDX-License-Identifier: Apache-2.0
//
// Names for links from labels that a guest has chosen, encoded as udev(7) does for /dev/disk/by-label.

/// A name for a directory entry made from a label, as udev does for /dev/disk/by-label.
///
/// ASCII letters, digits and `#+-.:=@_` stand for themselves, and so do UTF-8 characters that can be seen.
/// All other bytes become `\x2f` and the like: slashes, spaces, backslashes, control characters, invisible
/// ones, invalid UTF-8. More than udev does: `.` and `..` are encoded too, and a name ends before it would
/// be longer than 255 bytes.
///
/// - Parameter label: the label's bytes.
/// - Returns: a name of 1 to 255 bytes that is valid UTF-8 and safe in a directory and on a terminal, or
///   nil for an empty label.
public func safeFileName(_ label: [UInt8]) -> String? {
  guard !label.isEmpty else { return nil }
  let isDots = label == [0x2e] || label == [0x2e, 0x2e]
  var name = ""
  var rest = label[...]
  while let byte = rest.first {
    let (character, length) = firstScalar(of: rest)
    let part: String
    if let character, !isDots, isPlain(character) {
      part = String(character)
    } else if character == nil || length == 1 {
      part = "\\x" + hexadecimal(byte, digits: 2)
    } else {
      part = rest.prefix(length).map { "\\x" + hexadecimal($0, digits: 2) }.joined()
    }
    guard name.utf8.count + part.utf8.count <= 255 else { break }
    name += part
    rest = rest.dropFirst(length)
  }
  return name
}

/// The first character of bytes in UTF-8 and how long it is; nil and 1 where they do not begin with one.
private func firstScalar(of bytes: ArraySlice<UInt8>) -> (Unicode.Scalar?, Int) {
  var decoder = UTF8()
  var iterator = bytes.prefix(4).makeIterator()
  guard case .scalarValue(let scalar) = decoder.decode(&iterator) else { return (nil, 1) }
  return (scalar, UTF8.width(scalar))
}

/// Whether a character may stand for itself in a name.
private func isPlain(_ character: Unicode.Scalar) -> Bool {
  switch character {
  case "0"..."9", "A"..."Z", "a"..."z", "#", "+", "-", ".", ":", "=", "@", "_": true
  case "\0"..."\u{7f}": false
  default: isVisible(character)
  }
}

/// Whether a character changes nothing on a terminal but the place where it stands.
func isVisible(_ character: Unicode.Scalar) -> Bool {
  switch character.properties.generalCategory {
  case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
    .unassigned:
    false
  default: true
  }
}

/// A text without what could change a terminal: such characters become U+FFFD.
func visible(_ text: String) -> String {
  var result = ""
  for character in text.unicodeScalars {
    result.unicodeScalars.append(isVisible(character) ? character : "\u{fffd}")
  }
  return result
}
