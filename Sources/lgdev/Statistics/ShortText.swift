// SPDX-License-Identifier: Apache-2.0

/// Numbers in up to five characters, three digits of them, for tables.
enum ShortText {
  /// A number of things: `0.5`, `12`, `1.23k`, `45.6M`.
  static func count(_ value: Double) -> String {
    scaled(value, by: 1000, ["", "k", "M", "G", "T", "P", "E"])
  }

  /// A number of bytes, in units of 1024: `512`, `1.50K`, `23.4M`.
  static func bytes(_ value: Double) -> String {
    scaled(value, by: 1024, ["", "K", "M", "G", "T", "P", "E"])
  }

  /// A span of time: `250ns`, `1.20us`, `34.5ms`, `5.00s`, `12m`, `3h`, `8d`.
  static func time(_ nanoseconds: UInt64) -> String {
    let seconds = nanoseconds / 1_000_000_000
    switch seconds {
    case 0..<100: return scaled(Double(nanoseconds), by: 1000, ["ns", "us", "ms", "s"])
    case 100..<6000: return "\(seconds / 60)m"
    case 6000..<172_800: return "\(seconds / 3600)h"
    default: return "\(seconds / 86400)d"
    }
  }

  private static func scaled(_ value: Double, by step: Double, _ units: [String]) -> String {
    var value = value.isFinite ? max(0, value) : 0
    var unit = 0
    // What would be rounded up to four digits goes into the next unit.
    while value >= 999.5, unit < units.count - 1 {
      value /= step
      unit += 1
    }
    return digits(value, isWhole: unit == 0) + units[unit]
  }

  /// Three digits; no zeros behind the point where the number is whole and has no unit.
  private static func digits(_ value: Double, isWhole: Bool) -> String {
    if value >= 99.95 || (isWhole && value == value.rounded()) {
      return "\(UInt64(min(value.rounded(), 1e18)))"
    }
    let places = value >= 9.995 || isWhole ? 1 : 2
    let factor: UInt64 = places == 1 ? 10 : 100
    let scaled = UInt64((value * Double(factor)).rounded())
    let rest = "\(scaled % factor)"
    return "\(scaled / factor)." + String(repeating: "0", count: places - rest.count) + rest
  }
}
