// SPDX-License-Identifier: Apache-2.0

import Linux
import Testing

@testable import FuseExport

@Suite struct RequestBufferTests {
  @Test("what a write brings begins on a page, and the largest one fits behind its headers")
  func alignment() throws {
    let buffer = try RequestBuffer()
    #expect(buffer.payloadAddress % 4096 == 0)
    #expect(RequestBuffer.byteCount >= RequestBuffer.headerSize + ThreadBuffer.byteCount)
  }

  @Test("a request begins so far before that page that its headers end there")
  func receiving() throws {
    let pipe = try Linux.Pipe()
    let headers = [UInt8](repeating: 1, count: RequestBuffer.headerSize)
    try pipe.writing.writeAll(headers + [2])
    var buffer = try RequestBuffer()
    #expect(try buffer.receive(from: pipe.reading.raw) == RequestBuffer.headerSize + 1)
    let first = unsafe buffer.base.load(as: UInt8.self)
    let payload = unsafe UnsafePointer<UInt8>(bitPattern: buffer.payloadAddress)?.pointee
    #expect(first == 1)
    #expect(payload == 2)
  }
}
