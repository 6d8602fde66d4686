// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Linux

@Suite(.timeLimit(.minutes(20))) struct SearchTests {
  @Test func bytesAreFoundInARowOnly() {
    let bytes = Array("lgues guest lguest".utf8)
    #expect(bytes.holds(Array("lguest".utf8)))
    #expect(!Array(bytes.dropLast()).holds(Array("lguest".utf8)))
    #expect(!bytes.holds(Array("lguests".utf8)))
    #expect(![UInt8]().holds([0]))
    #expect(bytes.holds([]))
  }
}
