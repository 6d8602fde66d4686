// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer's entry for disk layouts: what an input means is in DiskHarness/DiskInput.swift.

import DiskHarness

/// Runs one input; traps where something is wrong.
@c(LLVMFuzzerTestOneInput)
public func fuzzDiskLayout(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  // SAFETY: libFuzzer gives `size` bytes at `data`; they are copied.
  DiskInput(unsafe Array(UnsafeBufferPointer(start: data, count: size))).run()
  return 0
}
