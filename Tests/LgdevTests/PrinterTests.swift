// SPDX-License-Identifier: Apache-2.0
//
// What is printed is written in order; nobody waits for it, and what finds no room is counted.

import HostTesting
import Linux
import Synchronization
import Testing

@testable import lgdev

@Suite(.timeLimit(.minutes(20))) struct PrinterTests {
  private let taken = LineCollector()
  private let hang = Hang()
  private let refusal = Hang()

  private func makePrinter(limit: Int = 1 << 20) throws -> Printer {
    try Printer(
      "printer", limit: limit, loss: { Printer.Piece(bytes: Array("\($0) lost".utf8)) }
    ) { [taken, hang, refusal] piece throws(Errno) in
      hang.wait()
      if refusal.isSet { throw .noSpace }
      taken.add(String(decoding: piece.bytes, as: UTF8.self))
    }
  }

  private func piece(_ text: String) -> Printer.Piece { Printer.Piece(bytes: Array(text.utf8)) }

  @Test func `pieces are written in order, each by itself`() throws {
    let printer = try makePrinter()
    let pieces = (0..<1000).map { "\($0)" }
    for text in pieces { printer.print(piece(text)) }
    #expect(printer.wait(atMost: soon))
    #expect(taken.lines == pieces)
  }

  @Test func `while nothing is taken nobody waits, and what finds no room is counted in its place`()
    throws
  {
    // Room for the one that is being written and two more.
    let printer = try makePrinter(limit: 3 * 65)
    hang.set(true)
    for text in "abcdef" { printer.print(piece("\(text)")) }
    #expect(!printer.wait(atMost: .zero))
    hang.set(false)
    #expect(printer.wait(atMost: soon))
    #expect(taken.lines == ["a", "b", "c", "3 lost"])
    printer.print(piece("g"))
    #expect(printer.wait(atMost: soon))
    #expect(taken.lines == ["a", "b", "c", "3 lost", "g"])
  }

  @Test func `what is dropped is told before what follows it`() throws {
    let printer = try makePrinter(limit: 2 * 65)
    hang.set(true)
    for text in "abcd" { printer.print(piece("\(text)")) }
    #expect(eventually { hang.isFelt })
    hang.set(false)
    #expect(printer.wait(atMost: soon))
    hang.set(true)
    printer.print(piece("e"))
    hang.set(false)
    #expect(printer.wait(atMost: soon))
    #expect(taken.lines == ["a", "b", "2 lost", "e"])
  }

  @Test func `what is refused is counted too, and told when the stream takes again`() throws {
    let printer = try makePrinter()
    refusal.set(true)
    for text in "abc" {
      printer.print(piece("\(text)"))
      #expect(printer.wait(atMost: soon))
    }
    refusal.set(false)
    printer.print(piece("d"))
    #expect(printer.wait(atMost: soon))
    #expect(taken.lines == ["3 lost", "d"])
  }
}
