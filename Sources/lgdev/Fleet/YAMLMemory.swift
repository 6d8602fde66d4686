// SPDX-License-Identifier: Apache-2.0
//
// YAMLMemory: libyaml's parser as a source of events. The fence file of this module.
//
// libyaml was taken because it tells line and column of everything, is in every distribution, and adds nothing to
// the program; packages for Swift that stand on it bring all of Foundation, four times the program's size.
// It hands out one event after the other and keeps no tree, so that whoever asks decides how deep and how much.

import CLibyaml

/// A place in a text file, both counted from 1; columns are counted in characters.
struct TextPosition: Equatable, Comparable {
  var line: Int
  var column: Int

  static func < (a: TextPosition, b: TextPosition) -> Bool {
    (a.line, a.column) < (b.line, b.column)
  }
}

/// What is wrong at a place of a file.
struct TextError: Error, Equatable {
  let position: TextPosition
  let message: String
}

/// One event of a YAML text.
struct YAMLEvent: Equatable {
  enum Kind: Equatable {
    /// A value without parts. Plain ones have no quotes: `on` is plain, `"on"` is not.
    case scalar(String, isPlain: Bool)
    case listStart, listEnd
    case mapStart, mapEnd
    case documentStart, documentEnd
    /// `*name`
    case alias
    /// The text's beginning, which means nothing.
    case start
    case end
  }

  let kind: Kind
  let position: TextPosition
  /// The place behind it.
  let end: TextPosition
  /// Whether an anchor (`&name`) or a tag (`!name`) stands before it.
  let isDecorated: Bool
}

/// Reads the events of a text.
@safe struct YAMLEvents: ~Copyable {
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let input: UnsafeMutableBufferPointer<UInt8>

  /// - Parameter text: UTF-8.
  init(_ text: [UInt8]) throws(TextError) {
    // SAFETY: both are allocated here and freed in deinit; the parser points into the input, which stays
    // where it is and is never written again.
    unsafe input = .allocate(capacity: text.count)
    _ = unsafe input.initialize(from: text)
    unsafe parser = .allocate(capacity: 1)
    unsafe parser.initialize(to: yaml_parser_t())
    guard unsafe yaml_parser_initialize(parser) == 1 else {
      // SAFETY: nothing else was made, and deinit does not run after a throw from here.
      unsafe parser.deallocate()
      unsafe input.deallocate()
      throw TextError(position: TextPosition(line: 1, column: 1), message: "there is no memory")
    }
    // SAFETY: the parser was initialised above.
    unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    unsafe yaml_parser_set_input_string(parser, input.baseAddress, text.count)
  }

  deinit {
    // SAFETY: init allocated both; nobody else has them.
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
    unsafe input.deallocate()
  }

  /// The next event. - Throws: what is wrong with the text; ask no more then.
  mutating func next() throws(TextError) -> YAMLEvent {
    // SAFETY (all): libyaml fills the event, whose strings are its own until it is deleted below; they are copied out
    // with the lengths that it gives.
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw trouble() }
    defer { unsafe yaml_event_delete(&event) }
    var isDecorated = false
    let kind: YAMLEvent.Kind
    switch unsafe event.type {
    case YAML_STREAM_START_EVENT: kind = .start
    case YAML_DOCUMENT_START_EVENT: kind = .documentStart
    case YAML_DOCUMENT_END_EVENT: kind = .documentEnd
    case YAML_ALIAS_EVENT: kind = .alias
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      unsafe isDecorated = scalar.anchor != nil || scalar.tag != nil
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      kind = unsafe .scalar(
        String(decoding: bytes, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
    case YAML_SEQUENCE_START_EVENT:
      let start = unsafe event.data.sequence_start
      unsafe isDecorated = start.anchor != nil || start.tag != nil
      kind = .listStart
    case YAML_SEQUENCE_END_EVENT: kind = .listEnd
    case YAML_MAPPING_START_EVENT:
      let start = unsafe event.data.mapping_start
      unsafe isDecorated = start.anchor != nil || start.tag != nil
      kind = .mapStart
    case YAML_MAPPING_END_EVENT: kind = .mapEnd
    default: kind = .end
    }
    return unsafe YAMLEvent(
      kind: kind, position: Self.position(event.start_mark), end: Self.position(event.end_mark),
      isDecorated: isDecorated)
  }

  private static func position(_ mark: yaml_mark_t) -> TextPosition {
    TextPosition(line: Int(mark.line) + 1, column: Int(mark.column) + 1)
  }

  /// What libyaml finds wrong, in its own words.
  private func trouble() -> TextError {
    // SAFETY: the parser is ours; its texts are constants of libyaml.
    let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) }
    let mark = unsafe parser.pointee.problem_mark
    // What cannot be a character at all has an offset and no mark.
    let isReading = unsafe parser.pointee.error == YAML_READER_ERROR
    let offset = unsafe parser.pointee.problem_offset
    // SAFETY: the input is ours, and the offset is clamped to it.
    let position =
      isReading
      ? unsafe TextPosition(after: input.prefix(min(offset, input.count))) : Self.position(mark)
    return TextError(position: position, message: problem ?? "this is no YAML")
  }
}

extension TextPosition {
  /// The place behind some UTF-8.
  init(after text: some Sequence<UInt8>) {
    self.init(line: 1, column: 1)
    for byte in text {
      if byte == UInt8(ascii: "\n") {
        line += 1
        column = 1
      } else if byte & 0xc0 != 0x80 {
        column += 1
      }
    }
  }
}
