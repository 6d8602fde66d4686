// SPDX-License-Identifier: Apache-2.0
//
// SetupMemory: where a queue and its chains get their memory from, when they are made and never after.
// A fence file, and the only one of the ring's core that allocates: the proof that the core does not is
// made without it (Tests/Proofs/no-allocation.sh).

/// Memory for as long as a queue or a chain lives; whoever asks for it frees it.
func allocateScratch(byteCount: Int) -> UnsafeMutableRawPointer {
  UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
}
