// SPDX-License-Identifier: Apache-2.0
//
// The one place that knows how a system call reports failure, and what happens when a signal
// interrupts it. The decision to retry is an argument, so that it is visible at each call.

/// Makes a system call that reports failure as -1 and a reason in `errno`.
///
/// - Parameters:
///   - retryOnInterrupt: whether the call is made again when a signal interrupted it (EINTR).
///   - body: the call. It may run several times.
/// - Returns: what the call returned, never -1.
@inline(__always)
public func systemCall<Value: FixedWidthInteger & SignedInteger>(
  retryOnInterrupt: Bool, _ body: () -> Value
) throws(Errno) -> Value {
  while true {
    let value = body()
    if value != -1 { return value }
    let error = Errno.current
    if retryOnInterrupt && error == .interrupted { continue }
    throw error
  }
}
