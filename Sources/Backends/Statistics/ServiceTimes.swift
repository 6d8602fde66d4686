// SPDX-License-Identifier: Apache-2.0
//
// ServiceTimes: how long requests took, as a histogram whose buckets grow with what they count.
//
// Up to 8 ns each nanosecond has a bucket; above, each power of two is cut into 8 buckets of equal width. A
// bucket is so never wider than an eighth of where it begins, and what is told of a time, the middle of
// its bucket, is wrong by at most a sixteenth (6.25 %). The last bucket also counts what took longer than 73
// minutes.

/// A histogram of service times.
public struct ServiceTimes: Sendable, Equatable {
  /// How many buckets there are.
  public static let bucketCount = 320

  /// How many requests each bucket has counted.
  public private(set) var counts: [UInt64]

  /// One that has counted nothing.
  public init() { counts = [UInt64](repeating: 0, count: Self.bucketCount) }

  /// Takes over what was counted. Missing buckets are empty, and what is too much is left out.
  public init(_ counts: some Sequence<UInt64>) {
    self.init()
    for (index, count) in zip(self.counts.indices, counts) { self.counts[index] = count }
  }

  /// The bucket that counts a time.
  @inline(__always)
  public static func bucket(of nanoseconds: UInt64) -> Int {
    guard nanoseconds >= 8 else { return Int(truncatingIfNeeded: nanoseconds) }
    let exponent = 63 &- nanoseconds.leadingZeroBitCount
    let eighth = Int(truncatingIfNeeded: nanoseconds >> UInt64(exponent &- 3)) & 7
    return min((exponent &- 2) &* 8 &+ eighth, bucketCount &- 1)
  }

  /// The times that a bucket counts, in nanoseconds. - Precondition: there is such a bucket.
  public static func range(of bucket: Int) -> Range<UInt64> {
    precondition(bucket >= 0 && bucket < bucketCount, "there is no such bucket")
    guard bucket >= 8 else { return UInt64(bucket)..<UInt64(bucket + 1) }
    let shift = UInt64(bucket / 8 - 1)
    let first = UInt64(8 + bucket % 8) << shift
    return first..<(first + (1 << shift))
  }

  /// How many requests were counted. A number that is too large is the largest one.
  public var total: UInt64 { counts.reduce(0) { $0.addingSaturating($1) } }

  /// The time that a part of all requests did not exceed, in nanoseconds, to a sixteenth.
  ///
  /// - Parameter part: 0.5 for the median, 0.99 for the time that one in a hundred exceeds, 1 for the longest.
  /// - Returns: nil where nothing was counted.
  public func percentile(_ part: Double) -> UInt64? {
    let total = total
    guard total > 0 else { return nil }
    // A total near 2^64 is rounded here, and stays below what a Double of a word can be.
    let part = part > 0 ? min(part, 1) : 0
    let wanted = (part * Double(total)).rounded(.up)
    let rank = wanted >= Double(total) ? total : max(1, UInt64(wanted))
    var seen: UInt64 = 0
    for bucket in counts.indices {
      seen = seen.addingSaturating(counts[bucket])
      if seen >= rank { return Self.middle(of: bucket) }
    }
    return Self.middle(of: Self.bucketCount - 1)
  }

  private static func middle(of bucket: Int) -> UInt64 {
    let range = range(of: bucket)
    return range.lowerBound + (range.upperBound - range.lowerBound) / 2
  }

  /// What was counted since an earlier reading of the same counters.
  public func since(_ earlier: ServiceTimes) -> ServiceTimes {
    ServiceTimes(zip(counts, earlier.counts).map { $0 >= $1 ? $0 - $1 : 0 })
  }
}

extension UInt64 {
  func addingSaturating(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
