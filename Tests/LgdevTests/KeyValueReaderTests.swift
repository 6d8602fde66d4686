// SPDX-License-Identifier: Apache-2.0

import Backends
import Testing

@testable import lgdev

/// A reader of `text`, for an option --x.
private func reader(
  _ text: String, hasHead: Bool = false
) throws(DeviceStringError) -> KeyValueReader {
  var reader = KeyValueReader(option: "--x")
  try reader.read(text, hasHead: hasHead)
  return reader
}

/// The error that `body` throws.
private func trouble(
  _ body: () throws(DeviceStringError) -> Void
) -> (column: Int, message: String)? {
  do throws(DeviceStringError) {
    try body()
    return nil
  } catch {
    return (error.column, error.message)
  }
}

@Suite(.timeLimit(.minutes(20))) struct KeyValueReaderTests {
  @Test func `values, flags, numbers and words are read in any order`() throws {
    var reader = try reader("b,n=17,a=x=y,w=none,off=off")
    #expect(try reader.string("a") == "x=y")
    #expect(try reader.flag("b"))
    #expect(try !reader.flag("off"))
    #expect(try !reader.flag("absent"))
    #expect(try reader.integer("n", in: 1...20) == 17)
    #expect(try reader.choice("w", as: BlockOptions.Cache.self) == BlockOptions.Cache.none)
    #expect(try reader.string("absent") == nil)
    try reader.finish()
  }

  @Test func `two commas stand for one inside a value`() throws {
    var reader = try reader("path=a,,b,,,ro")
    #expect(try reader.string("path") == "a,b,")
    #expect(try reader.flag("ro"))
    try reader.finish()
  }

  @Test func `a head has a kind and an argument, which may hold anything`() throws {
    var plain = try reader("pty", hasHead: true)
    #expect(try plain.head("pty") == ("pty", nil))
    var argument = try reader("file:/a=b:c,size=3", hasHead: true)
    #expect(try argument.head("file:PATH") == ("file", "/a=b:c"))
    #expect(try argument.string("size") == "3")
  }

  @Test(arguments: [
    ("a=1,a=2", 5, "'a' is given twice"),
    ("a=1,=2", 5, "a key is missing before '='"),
    ("a=1,", 5, "a key is missing"),
    (",a=1", 1, "a key is missing"),
  ])
  func `a malformed string is refused at its column`(
    text: String, column: Int, message: String
  ) throws {
    let found = try #require(trouble { () throws(DeviceStringError) in _ = try reader(text) })
    #expect(found.column == column)
    #expect(found.message == message)
  }

  @Test(arguments: [
    ("é=1,n=21", 7, "'21' is not a number from 1 to 20"),
    ("n=+5", 3, "'+5' is not a number from 1 to 20"),
    ("n=x", 3, "'x' is not a number from 1 to 20"),
    ("n=", 3, "'n' needs a value: n=…"),
    ("n", 2, "'n' needs a value: n=…"),
    ("n=99999999999999999999", 3, "'99999999999999999999' is not a number from 1 to 20"),
  ])
  func `a wrong number is refused at its column`(text: String, column: Int, message: String) throws
  {
    let found = try #require(
      trouble { () throws(DeviceStringError) in
        var reader = try reader(text)
        _ = try reader.integer("n", in: 1...20)
      })
    #expect(found.column == column)
    #expect(found.message == message)
  }

  @Test func `a flag is on or off`() throws {
    let found = try #require(
      trouble { () throws(DeviceStringError) in
        var reader = try reader("ro=maybe")
        _ = try reader.flag("ro")
      })
    #expect(found == (4, "'maybe' is neither on nor off"))
  }

  @Test func `a wrong word is answered with the right ones`() throws {
    let found = try #require(
      trouble { () throws(DeviceStringError) in
        var reader = try reader("engine=aio")
        _ = try reader.choice("engine", as: BlockOptions.Engine.self)
      })
    #expect(found == (8, "'aio' is not one of auto, uring, threads"))
  }

  @Test(arguments: [
    ("serail=1", "unknown key 'serail'; did you mean 'serial'?"),
    ("zzz=1", "unknown key 'zzz'; there is path, serial, ro"),
    ("pa", "unknown key 'pa'; there is path, serial, ro"),
  ])
  func `an unknown key is answered with a near one or all of them`(
    text: String, message: String
  ) throws {
    let found = try #require(
      trouble { () throws(DeviceStringError) in
        var reader = try reader(text)
        _ = try reader.string("path")
        _ = try reader.string("serial")
        _ = try reader.flag("ro")
        try reader.finish()
      })
    #expect(found == (1, message))
  }

  @Test func `an error is one line with the option, the string and the column`() throws {
    let error = try reader("a=1").error(at: 3, "no")
    #expect(error.description == "--x 'a=1', column 3: no")
  }
}
