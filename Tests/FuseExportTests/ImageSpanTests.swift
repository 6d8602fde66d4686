// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import FuseExport

@Suite struct ImageSpanTests {
  private let span = ImageSpan(start: 1 << 20, count: 4096)

  @Test("a request inside a partition is moved to its place in the image")
  func inside() {
    #expect(span.piece(at: 0, 4096) == .init(position: 1 << 20, count: 4096))
    #expect(span.piece(at: 4095, 1) == .init(position: (1 << 20) + 4095, count: 1))
  }

  @Test("a request over the end is cut there, and one behind it is nothing")
  func end() {
    #expect(span.piece(at: 4000, 4096) == .init(position: (1 << 20) + 4000, count: 96))
    #expect(span.piece(at: 4096, 1) == nil)
    #expect(span.piece(at: .max, .max) == nil)
    #expect(span.piece(at: 1, .max) == .init(position: (1 << 20) + 1, count: 4095))
    #expect(span.piece(at: 0, 0) == nil)
  }

  @Test("any request lies in its span", arguments: 0..<1000)
  func random(seed: Int) {
    let start = UInt64.random(in: 0..<1 << 60)
    let span = ImageSpan(start: start, count: .random(in: 0..<1 << 60))
    let offset = UInt64.random(in: 0...UInt64.max) >> UInt64.random(in: 0..<64)
    let length = UInt64.random(in: 0...UInt64.max) >> UInt64.random(in: 0..<64)
    guard let piece = span.piece(at: offset, length) else {
      #expect(length == 0 || offset >= span.count)
      return
    }
    #expect(piece.position >= start && piece.count > 0 && piece.count <= length)
    #expect(piece.position + piece.count <= start + span.count)
  }
}
