// SPDX-License-Identifier: Apache-2.0
//
// Recording: what was said over a real /dev/lguest, as Kernel/tests/recording.py has written it down. A line is a
// call of a thread:
//
//     THREAD: open = 0
//     THREAD: write 32: 0 BASE 1007 100000 = 24              how many bytes, the words in hexadecimal
//     THREAD: write 24: 10 BUFFER 28 = 40 hypercalls some    what the buffer then tells of
//     THREAD: read 8 = 8 notified 1000000 status 7 accepted 20000000    and what the guest has written there
//     THREAD: read 8 = 8 notified TEXT "hello\x0a"           a string in the guest's memory
//     THREAD: read 1024 = 11 text "CRASH: BYE\x00"
//     THREAD: close = 0
//     THREAD: page 1000000: 0302...                          no call: the devices of the guest that was made
//
// Errors have their names as a result. `cpu N` behind a number of bytes is an offset; UNMAPPED is a word, or
// a buffer, that nothing is mapped at. In `rows`, lines without a thread give a row its name (`row`) and say what
// the guest does when it is run (`guest notifies 5000`).

import Foundation

/// What the guest of a row does.
package enum GuestAct: Equatable, Sendable {
  case notifies(UInt64)
  case dies(String)
  case restarts
  case spins
  /// It has an initrd of that many bytes.
  case initrd(UInt64)
}

/// A guest, from its opening to its end.
package struct RecordedGuest: Sendable, CustomStringConvertible {
  package let title: String
  package fileprivate(set) var acts: [GuestAct] = []
  package fileprivate(set) var calls: [RecordedCall] = []

  package var description: String { title }
  /// The thread that has opened it.
  package var runner: String { calls.first?.thread ?? "" }
}

/// A line that says nothing.
package struct RecordingError: Error, CustomStringConvertible {
  package let description: String
  init(_ what: String, _ place: String) { description = "\(place): \(what)" }
}

/// The guests of a file.
package struct Recording: Sendable {
  package private(set) var guests: [RecordedGuest] = []

  package init(path: String) throws {
    let name = path.split(separator: "/").last ?? ""
    let lines = try String(contentsOfFile: path, encoding: .utf8)
      .split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
      try add(line, at: "\(name):\(index + 1): \(line)")
    }
  }

  private mutating func add(_ line: Substring, at place: String) throws {
    if line.hasPrefix("row ") {
      guests.append(RecordedGuest(title: String(line.dropFirst(4))))
    } else if line.hasPrefix("guest ") {
      guests[guests.count - 1].acts.append(try Self.act(line.dropFirst(6), at: place))
    } else {
      let call = try RecordedCall(line, at: place)
      // A row has its guest already.
      if case .open = call.kind, guests.last?.calls.isEmpty != true {
        guests.append(RecordedGuest(title: "guest \(guests.count + 1)"))
      }
      guard !guests.isEmpty else { throw RecordingError("nothing is open", place) }
      guests[guests.count - 1].calls.append(call)
    }
  }

  private static func act(_ line: Substring, at place: String) throws -> GuestAct {
    let words = line.split(separator: " ", maxSplits: 1)
    let rest = words.count > 1 ? words[1] : ""
    switch (words.first, UInt64(rest, radix: 16)) {
    case ("notifies", let address?): return .notifies(address)
    case ("initrd", let count?): return .initrd(count)
    case ("dies", _): return .dies(String(rest))
    case ("restarts", _): return .restarts
    case ("spins", _): return .spins
    default: throw RecordingError("no such act", place)
    }
  }
}
