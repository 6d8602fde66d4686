// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct ErrnoTests {
  @Test func saysWhatWentWrongInWords() {
    #expect(Errno.noSpace.description == "No space left on device")
    #expect("\(Errno.notFound)" == "No such file or directory")
    #expect(Errno(rawValue: 99999).description == "Unknown error 99999")
  }

  @Test func interruptedCallIsMadeAgainOnlyWhenAsked() throws {
    var calls = 0
    let value = try systemCall(retryOnInterrupt: true) { () -> Int32 in
      calls += 1
      errno = EINTR
      return calls < 3 ? -1 : 7
    }
    #expect(value == 7)
    #expect(calls == 3)

    calls = 0
    #expect(throws: Errno.interrupted) {
      try systemCall(retryOnInterrupt: false) { () -> Int32 in
        calls += 1
        errno = EINTR
        return -1
      }
    }
    #expect(calls == 1)
  }

  @Test func otherFailuresAreThrownAtOnce() {
    var calls = 0
    #expect(throws: Errno.busy) {
      try systemCall(retryOnInterrupt: true) { () -> Int in
        calls += 1
        errno = EBUSY
        return -1
      }
    }
    #expect(calls == 1)
  }
}
