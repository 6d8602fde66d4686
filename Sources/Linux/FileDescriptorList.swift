// SPDX-License-Identifier: Apache-2.0
//
// A few descriptors with one owner: an Array cannot hold what cannot be copied.

/// Up to 16 file descriptors, closed when the list goes unless they were taken out.
public struct FileDescriptorList: ~Copyable, Sendable {
  /// How many descriptors a list can hold.
  public static let capacity = 16

  /// The numbers; -1 where one was taken.
  private var numbers = InlineArray<16, Int32>(repeating: -1)
  /// How many were put in. Taking one out leaves its place empty, and the others where they are.
  public private(set) var count = 0

  /// Makes an empty list.
  public init() {}

  deinit {
    for index in 0..<count where numbers[index] >= 0 {
      _ = FileDescriptor(owning: numbers[index])
    }
  }

  /// Whether nothing was put in.
  public var isEmpty: Bool { count == 0 }

  /// Puts a descriptor in. When the list is full the descriptor is closed.
  ///
  /// - Returns: whether there was room.
  @discardableResult
  public mutating func append(_ descriptor: consuming FileDescriptor) -> Bool {
    guard count < Self.capacity else { return false }
    numbers[count] = descriptor.release()
    count += 1
    return true
  }

  /// Takes a descriptor out; nil when its place is empty or there never was one.
  public mutating func take(at index: Int) -> FileDescriptor? {
    guard index >= 0, index < count, numbers[index] >= 0 else { return nil }
    let descriptor = FileDescriptor(owning: numbers[index])
    numbers[index] = -1
    return descriptor
  }

  /// The number at a place, -1 when it is empty or there never was one. The list stays the owner.
  public func raw(at index: Int) -> Int32 {
    guard index >= 0, index < count else { return -1 }
    return numbers[index]
  }
}
