// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import FuseExport

@Suite(.timeLimit(.minutes(20))) struct MountPointTests {
  @Test(arguments: [
    ("user_allow_other", true), ("# comment\n user_allow_other # so\n", true),
    ("mount_max = 10\nuser_allow_other\n", true), ("#user_allow_other\n", false),
    ("user_allow_others\n", false), ("user_allow_other no\n", false), ("", false),
  ])
  func `users may let others in where fuse.conf says so`(text: String, isAllowed: Bool) {
    #expect(MountPoint.letsUsersAllowOthers(Array(text.utf8)) == isAllowed)
  }
}
