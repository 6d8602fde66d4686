// SPDX-License-Identifier: Apache-2.0
//
// What an interface is given: an address, and how much of it names the network.

/// An IPv4 address with the length of its network's prefix, written "192.168.7.1/24".
public struct IPv4Prefix: Sendable, Hashable, CustomStringConvertible {
  /// The address; its first byte is the most significant one.
  public let address: UInt32
  /// How many of its bits name the network, 0 to 32.
  public let length: Int

  /// Makes one from its parts.
  ///
  /// - Precondition: `length` is 0 to 32.
  public init(address: UInt32, length: Int) {
    precondition((0...32).contains(length), "an IPv4 prefix has 0 to 32 bits")
    self.address = address
    self.length = length
  }

  /// Reads one; nil when the text is none. All four numbers and the length must be there.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let length = Self.number(parts[1], upTo: 32) else { return nil }
    let numbers = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    guard numbers.count == 4 else { return nil }
    var address: UInt32 = 0
    for text in numbers {
      guard let number = Self.number(text, upTo: 255) else { return nil }
      address = address << 8 | UInt32(number)
    }
    self.init(address: address, length: length)
  }

  /// As it is written.
  public var description: String {
    let numbers = [24, 16, 8, 0].map { "\(address >> UInt32($0) & 0xff)" }
    return numbers.joined(separator: ".") + "/\(length)"
  }

  /// The network's bits, all set.
  var mask: UInt32 { length == 0 ? 0 : ~0 << UInt32(32 - length) }

  /// Digits only, and none too many: "+1", "01" and "" are no numbers here.
  private static func number(_ text: Substring, upTo limit: Int) -> Int? {
    guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      text.utf8.count == 1 || text.first != "0", let number = Int(text), number <= limit
    else { return nil }
    return number
  }
}
