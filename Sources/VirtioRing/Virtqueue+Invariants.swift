// SPDX-License-Identifier: Apache-2.0

extension Virtqueue {
  /// Checks what must hold between any two operations; traps where it does not. For tests.
  public func _checkInvariants() {
    switch split {
    case .some(let split): split.checkInvariants()
    case .none: precondition(isPacked)
    }
    switch packed {
    case .some(let packed): packed.value.checkInvariants()
    case .none: precondition(!isPacked)
    }
  }
}
