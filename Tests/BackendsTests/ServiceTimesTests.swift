// SPDX-License-Identifier: Apache-2.0

import Backends
import Testing
import VirtioTesting

struct ServiceTimesTests {
  @Test func `buckets follow each other without a gap, none wider than an eighth of its start`() {
    var end: UInt64 = 0
    for bucket in 0..<ServiceTimes.bucketCount {
      let range = ServiceTimes.range(of: bucket)
      #expect(range.lowerBound == end)
      #expect(ServiceTimes.bucket(of: range.lowerBound) == bucket)
      #expect(ServiceTimes.bucket(of: range.upperBound - 1) == bucket)
      let width = range.upperBound - range.lowerBound
      #expect(width == 1 || width * 8 <= range.lowerBound)
      end = range.upperBound
    }
    // More than an hour.
    #expect(end == 1 << 42)
    for time in [end, end + 1, .max] {
      #expect(ServiceTimes.bucket(of: time) == ServiceTimes.bucketCount - 1)
    }
  }

  @Test(arguments: [1, 2, 10, 999, 20_000])
  func `percentiles are those of the sorted times, to a sixteenth`(count: Int) throws {
    var random = SplitMix(seed: UInt64(count))
    for _ in 0..<5 {
      // From nanoseconds to minutes, each size as likely as the others.
      let times = (0..<count).map { _ in
        UInt64.random(in: 0..<(1 << UInt64.random(in: 1...41, using: &random)), using: &random)
      }.sorted()
      var counts = [UInt64](repeating: 0, count: ServiceTimes.bucketCount)
      for time in times { counts[ServiceTimes.bucket(of: time)] += 1 }
      let measured = ServiceTimes(counts)
      #expect(measured.total == UInt64(count))
      for part in [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1] {
        let rank = max(1, Int((part * Double(count)).rounded(.up)))
        let exact = times[rank - 1]
        let told = try #require(measured.percentile(part))
        let error = told > exact ? told - exact : exact - told
        #expect(error * 16 <= max(exact, 1), "\(part) of \(count): \(told), not \(exact)")
      }
    }
  }

  @Test func `nothing counted has no percentile`() {
    #expect(ServiceTimes().percentile(0.5) == nil)
    #expect(ServiceTimes().total == 0)
  }

  @Test func `what was counted in between is the difference, and never less than nothing`() {
    let earlier = ServiceTimes([5, 1, 7])
    #expect(ServiceTimes([5, 4, 2]).since(earlier) == ServiceTimes([0, 3, 0]))
  }

  @Test func `counts of any size, number and part are borne`() {
    let huge = ServiceTimes([UInt64](repeating: .max, count: 1000))
    #expect(huge.counts.count == ServiceTimes.bucketCount)
    #expect(huge.total == .max)
    for part in [-1, 0, 0.5, 1, 2, .infinity, -.infinity] {
      #expect(huge.percentile(part) == 0)
    }
    _ = huge.percentile(.nan)
    #expect(huge.since(ServiceTimes()).total == .max)
  }
}
