// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer's entry for the split ring: what an input means is in RingHarness/RingInput.swift.

import RingHarness

/// Runs one input; traps where something is wrong.
@c(LLVMFuzzerTestOneInput)
public func fuzzRingSplit(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  // SAFETY: libFuzzer gives `size` bytes at `data`; they are copied.
  runRingInput(unsafe Array(UnsafeBufferPointer(start: data, count: size)), isPacked: false)
  return 0
}
