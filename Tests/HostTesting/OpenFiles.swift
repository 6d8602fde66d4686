// SPDX-License-Identifier: Apache-2.0

import CHostTesting

/// How many files a process may have open.
public enum OpenFiles {
  /// As many as it may choose (getrlimit(2)). For processes of a test's own.
  public static func raiseLimit() { chosttesting_raise_open_files() }
}
