// SPDX-License-Identifier: Apache-2.0
//
// YAMLNode: a YAML text as a tree that remembers where everything stands.
//
// Of YAML there is what a list of settings needs: maps, lists and texts, one document. Anchors, aliases
// and tags are refused: with aliases a few lines can stand for more than any memory holds, and tags
// ask for types that are not here. What a text means (a number, a switch) is for its reader to say.

/// A part of a YAML text.
struct YAMLNode: Equatable {
  enum Content: Equatable {
    /// Plain ones have no quotes.
    case text(String, isPlain: Bool)
    case list([YAMLNode])
    case map([Entry])
  }

  /// A key and its value.
  struct Entry: Equatable {
    let key: String
    let position: TextPosition
    let value: YAMLNode
  }

  let content: Content
  let position: TextPosition
  /// Whether a text is written as it is read, so that its n-th character has a place.
  let isVerbatim: Bool

  /// How deep parts can be inside others. A fleet needs five.
  private static let depthLimit = 16

  /// Reads a text. Keys that a map has twice are told to `duplicate`, and the first one counts.
  ///
  /// - Parameter text: UTF-8.
  /// - Returns: nil for a text with nothing in it.
  init?(_ text: [UInt8], duplicate: (TextError) -> Void) throws(TextError) {
    var events = try YAMLEvents(text)
    var root: YAMLNode?
    while true {
      let event = try events.next()
      switch event.kind {
      case .start, .documentEnd: continue
      case .documentStart where root == nil:
        root = try Self.node(try events.next(), &events, depth: 0, duplicate)
      case .documentStart:
        throw TextError(position: event.position, message: "a second document begins here")
      default:
        guard let root else { return nil }
        self = root
        return
      }
    }
  }

  private init(_ content: Content, _ event: YAMLEvent) {
    self.content = content
    position = event.position
    guard case .text(let text, let isPlain) = content else {
      isVerbatim = false
      return
    }
    let quotes = isPlain ? 0 : 2
    isVerbatim =
      event.end.line == position.line
      && event.end.column - position.column == text.unicodeScalars.count + quotes
  }

  /// The place of the n-th character of a text, from 1; the text's own where that cannot be known.
  func position(ofColumn column: Int) -> TextPosition {
    guard isVerbatim, case .text(_, let isPlain) = content else { return position }
    return TextPosition(
      line: position.line, column: position.column + column - 1 + (isPlain ? 0 : 1))
  }

  private static func node(
    _ event: YAMLEvent, _ events: inout YAMLEvents, depth: Int, _ duplicate: (TextError) -> Void
  ) throws(TextError) -> YAMLNode {
    guard !event.isDecorated, event.kind != .alias else {
      throw TextError(
        position: event.position,
        message: "anchors, aliases and tags are not read here; write it out")
    }
    guard depth < depthLimit else {
      throw TextError(position: event.position, message: "this is nested too deeply")
    }
    switch event.kind {
    case .scalar(let text, let isPlain):
      return YAMLNode(.text(text, isPlain: isPlain), event)
    case .listStart:
      var list: [YAMLNode] = []
      while true {
        let next = try events.next()
        if next.kind == .listEnd { return YAMLNode(.list(list), event) }
        list.append(try node(next, &events, depth: depth + 1, duplicate))
      }
    default:
      return YAMLNode(.map(try entries(&events, depth: depth + 1, duplicate)), event)
    }
  }

  private static func entries(
    _ events: inout YAMLEvents, depth: Int, _ duplicate: (TextError) -> Void
  ) throws(TextError) -> [Entry] {
    var entries: [Entry] = []
    var keys: [String: TextPosition] = [:]
    while true {
      let next = try events.next()
      if next.kind == .mapEnd { return entries }
      let key = try node(next, &events, depth: depth, duplicate)
      guard case .text(let text, _) = key.content else {
        throw TextError(position: key.position, message: "a key is one word")
      }
      let value = try node(try events.next(), &events, depth: depth, duplicate)
      if let first = keys[text] {
        duplicate(
          TextError(
            position: key.position, message: "'\(text)' stands in line \(first.line) already"))
      } else {
        keys[text] = key.position
        entries.append(Entry(key: text, position: key.position, value: value))
      }
    }
  }
}
