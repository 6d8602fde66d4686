// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import FuseExport

@Suite(.timeLimit(.minutes(20))) struct MountTableTests {
  private let text = """
    22 28 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw
    90 28 0:50 / /a\\040b rw - fuse.lgdev /srv/disk\\134.img rw,user_id=0
    91 90 7:0 / /a\\040b rw shared:3 master:1 - ext4 /dev/loop0 rw
    92 28 0:51 / /c rw - fuse.lgdev d rw
    not a line

    """

  @Test func `lines are read with what is escaped in them, and others left out`() {
    let table = MountTable(Array(text.utf8))
    #expect(table.entries.map(\.id) == ["22", "90", "91", "92"])
    #expect(table.entries[1].path == "/a b")
    #expect(table.entries[1].source == "/srv/disk\\.img")
    #expect(table.entries[1].kind == "fuse.lgdev")
  }

  @Test func `the last mount on a path is on top`() {
    let table = MountTable(Array(text.utf8))
    #expect(table.top(at: "/a b")?.source == "/dev/loop0")
    #expect(table.top(at: "/a b")?.parent == "90")
    #expect(table.top(at: "/c")?.kind == "fuse.lgdev")
    #expect(table.top(at: "/a") == nil)
  }
}
