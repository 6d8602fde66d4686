// SPDX-License-Identifier: Apache-2.0
//
// KeyValueReader: reads device strings such as `path=disk.img,serial=D1,ro`.
//
// The grammar, as in QEMU's options:
//
//     string = item *("," item)
//     item   = key "=" value / key          a key alone is a flag that is on
//     ",,"   inside a value stands for a comma
//
// Some strings begin with a word instead of a key (`pty:/tmp/console,size=80x25`): the head. A
// reader is asked for one key after the other, and `finish` refuses what nobody asked for: so the
// keys that exist are written down once, where they are used. Every error names the option and
// points at the column, counted in characters from 1, at which the trouble begins.

/// What is wrong with a device string, in one line.
struct DeviceStringError: Error, Equatable, CustomStringConvertible {
  /// The option, such as `--block`.
  let option: String
  /// Its value, whole.
  let text: String
  /// Where in the value the trouble begins, from 1.
  let column: Int
  /// What is wrong and what to write instead.
  let message: String

  var description: String { "\(option) '\(text)', column \(column): \(message)" }
}

/// Reads one device string.
struct KeyValueReader {
  private struct Item {
    let key: String
    let value: String?
    let keyColumn: Int
    var valueColumn: Int { keyColumn + key.count + (value == nil ? 0 : 1) }
  }

  /// The option that the string belongs to, such as `--block`.
  let option: String
  private var text = ""
  private var headText = ""
  private var items: [Item] = []
  private var knownKeys: [String] = []

  /// Makes a reader without a string.
  init(option: String) { self.option = option }

  /// Takes a string apart.
  ///
  /// - Parameter hasHead: the first item is the head, whatever it looks like.
  mutating func read(_ text: String, hasHead: Bool = false) throws(DeviceStringError) {
    self.text = text
    guard !text.isEmpty else { return }
    let characters = Array(text)
    var start = 0
    while start <= characters.count {
      var raw: [Character] = []
      var next = start
      while next < characters.count {
        if characters[next] == "," {
          guard next + 1 < characters.count, characters[next + 1] == "," else { break }
          next += 1
        }
        raw.append(characters[next])
        next += 1
      }
      if hasHead, start == 0 { headText = String(raw) } else { try add(raw, at: start + 1) }
      start = next + 1
    }
  }

  private mutating func add(_ raw: [Character], at column: Int) throws(DeviceStringError) {
    let equals = raw.firstIndex(of: "=")
    let key = String(raw[..<(equals ?? raw.endIndex)])
    guard !key.isEmpty else {
      throw error(at: column, raw.isEmpty ? "a key is missing" : "a key is missing before '='")
    }
    guard !items.contains(where: { $0.key == key }) else {
      throw error(at: column, "'\(key)' is given twice")
    }
    let value = equals.map { String(raw[($0 + 1)...]) }
    items.append(Item(key: key, value: value, keyColumn: column))
  }

  /// Takes the word that the string begins with: `stdio`, or `pty:/tmp/console` as kind and argument.
  mutating func head(_ expected: String) throws(DeviceStringError) -> (
    kind: String, argument: String?
  ) {
    guard !headText.isEmpty else { throw error(at: 1, "expected \(expected)") }
    guard let colon = headText.firstIndex(of: ":") else { return (headText, nil) }
    return (String(headText[..<colon]), String(headText[headText.index(after: colon)...]))
  }

  /// Takes the value of a key; nil where the key is absent.
  mutating func string(_ key: String) throws(DeviceStringError) -> String? {
    guard let item = take(key) else { return nil }
    guard let value = item.value, !value.isEmpty else {
      throw error(at: item.valueColumn, "'\(key)' needs a value: \(key)=…")
    }
    return value
  }

  /// Takes a flag: `ro`, `ro=on` or `ro=off`; or, as YAML has it, true or false.
  mutating func flag(_ key: String) throws(DeviceStringError) -> Bool {
    guard let item = take(key) else { return false }
    switch item.value {
    case nil, "on", "true": return true
    case "off", "false": return false
    case .some(let value):
      throw error(at: item.valueColumn, "'\(value)' is neither on nor off")
    }
  }

  /// Takes a decimal number.
  mutating func integer(
    _ key: String, in range: ClosedRange<Int>
  ) throws(DeviceStringError) -> Int? {
    try value(key, "a number from \(range.lowerBound) to \(range.upperBound)") {
      decimal($0).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  /// Takes one of a few words.
  mutating func choice<Choice>(
    _ key: String, as type: Choice.Type = Choice.self
  ) throws(DeviceStringError) -> Choice?
  where Choice: RawRepresentable & CaseIterable, Choice.RawValue == String {
    let words = type.allCases.map(\.rawValue).joined(separator: ", ")
    return try value(key, "one of \(words)") { type.init(rawValue: $0) }
  }

  /// Takes a value that has a form of its own.
  ///
  /// - Parameters:
  ///   - expected: what a right value is, for the error: `a MAC address such as …`.
  ///   - convert: gives nil for a wrong value.
  mutating func value<Value>(
    _ key: String, _ expected: String, _ convert: (String) -> Value?
  ) throws(DeviceStringError) -> Value? {
    let column = column(of: key)
    guard let text = try string(key) else { return nil }
    guard let value = convert(text) else {
      throw error(at: column, "'\(text)' is not \(expected)")
    }
    return value
  }

  /// Takes `id=NAME`: what the device and its socket are called.
  mutating func deviceName() throws(DeviceStringError) -> String? {
    try value("id", deviceNameForm) { isDeviceName($0) ? $0 : nil }
  }

  /// Refuses keys that nobody has asked for.
  ///
  /// A key that must be there is missed after this only: whoever has misspelled it is told so.
  func finish() throws(DeviceStringError) {
    guard let item = items.first else { return }
    throw error(at: item.keyColumn, unknownKey(item.key, knownKeys))
  }

  /// Where the value of a key begins; the end of the string where the key is absent.
  func column(of key: String) -> Int {
    items.first { $0.key == key }?.valueColumn ?? text.count + 1
  }

  /// An error of this string.
  func error(at column: Int, _ message: String) -> DeviceStringError {
    DeviceStringError(option: option, text: text, column: column, message: message)
  }

  private mutating func take(_ key: String) -> Item? {
    knownKeys.append(key)
    guard let index = items.firstIndex(where: { $0.key == key }) else { return nil }
    return items.remove(at: index)
  }
}

/// What a device or a guest can be called.
let deviceNameForm = "a name of up to 32 letters, digits, '-', '_' and '.'"

/// Whether a device or a guest can be called so.
func isDeviceName(_ name: String) -> Bool {
  !name.isEmpty && name.utf8.count <= 32 && !name.hasPrefix(".")
    && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
}

/// A number of decimal digits and nothing else: `Int` alone would also take a sign.
func decimal(_ text: some StringProtocol) -> Int? {
  text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
}

/// What is said of a key that does not exist.
func unknownKey(_ key: String, _ known: [String]) -> String {
  "unknown key '\(key)'; \(hint(for: key, known))"
}

/// What may have been meant by a word that is none of the known ones.
func hint(for word: String, _ known: [String]) -> String {
  let similar = known.first { editDistance($0, word) <= max(1, $0.count / 3) }
  return similar.map { "did you mean '\($0)'?" } ?? "there is \(known.joined(separator: ", "))"
}

/// How many characters must be put in, taken out or changed to make one word of the other.
private func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b)
  var row = Array(0...b.count)
  for (i, character) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let substitution = diagonal + (b[j] == character ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substitution, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
