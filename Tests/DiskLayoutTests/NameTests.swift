// SPDX-License-Identifier: Apache-2.0
//
// Labels that a guest has chosen become names for links and strings of JSON.

import DiskLayout
import Testing

@Suite("Names from labels")
struct NameTests {
  @Test("plain characters and visible UTF-8 stand for themselves")
  func plain() {
    #expect(safeFileName(Array("root-1.0_#+:=@Z".utf8)) == "root-1.0_#+:=@Z")
    #expect(safeFileName(Array("Grün 日本".utf8)) == "Grün\\x20日本")
    #expect(safeFileName([]) == nil)
  }

  @Test("slashes, dots, control characters and invalid UTF-8 are encoded as udev does")
  func encoded() {
    #expect(safeFileName(Array("a/b\\c".utf8)) == "a\\x2fb\\x5cc")
    #expect(safeFileName(Array(".".utf8)) == "\\x2e")
    #expect(safeFileName(Array("..".utf8)) == "\\x2e\\x2e")
    #expect(safeFileName(Array("...".utf8)) == "...")
    #expect(safeFileName([0x1b, 0x5b, 0x00, 0x0a, 0x7f]) == "\\x1b\\x5b\\x00\\x0a\\x7f")
    #expect(safeFileName([0xff, 0x41, 0xc3]) == "\\xffA\\xc3")
    #expect(safeFileName([0xed, 0xa0, 0x80]) == "\\xed\\xa0\\x80")
    #expect(safeFileName(Array("\u{202e}x\u{9b}".utf8)) == "\\xe2\\x80\\xaex\\xc2\\x9b")
  }

  @Test("a name has at most 255 bytes and ends between characters")
  func long() throws {
    #expect(safeFileName(Array(repeating: 0x41, count: 300))?.utf8.count == 255)
    let spaces = try #require(safeFileName(Array(repeating: 0x20, count: 256)))
    #expect(spaces.utf8.count == 252 && spaces.hasSuffix("\\x20"))
  }

  @Test("JSON escapes what JSON and a terminal need")
  func json() {
    let value = JSONText.object([
      ("a\"\\", .array([.string("\n\t\r\u{1b}\u{7f}\u{202e}ü\u{e0001}"), .number(.max), .null])),
      ("b", .object([])), ("c", .array([])), ("d", .bool(true)),
    ])
    #expect(
      value.text == """
        {
          "a\\"\\\\": [
            "\\n\\t\\r\\u001b\\u007f\\u202eü\\udb40\\udc01",
            18446744073709551615,
            null
          ],
          "b": {},
          "c": [],
          "d": true
        }

        """)
  }
}
