// SPDX-License-Identifier: Apache-2.0
//
// What each request must look like: how long its payload is, how many descriptors come with it. Checked
// before anything else looks at the message.

extension FrontEndRequest {
  /// The largest payload of any request.
  static let maximumPayload =
    ConfigurationAccess.headerByteCount + ConfigurationAccess.maximumByteCount

  /// How long the payload is; nil where the request's own decoding finds out.
  private var payloadByteCount: Int? {
    switch self {
    case .setFeatures, .setProtocolFeatures, .setVringKick, .setVringCall, .setVringError,
      .setVringSize, .setVringBase, .getVringBase, .setVringEnable, .vringKick, .setStatus:
      8
    case .setVringAddress, .addMemoryRegion, .removeMemoryRegion: 40
    case .setMemoryTable, .getConfiguration, .setConfiguration, .setLogBase, .setLogDescriptor:
      nil
    case .getFeatures, .setOwner, .resetOwner, .getProtocolFeatures, .getQueueCount,
      .setBackendChannel, .resetDevice, .getMemorySlotCount, .getStatus:
      0
    }
  }

  /// Whether it is answered whatever its flags say.
  var hasOwnReply: Bool {
    switch self {
    case .getFeatures, .getProtocolFeatures, .getQueueCount, .getVringBase, .getConfiguration,
      .getMemorySlotCount, .getStatus:
      true
    default: false
    }
  }

  /// How many descriptors may come along. Which of them must, the request itself knows.
  private var descriptorCounts: ClosedRange<Int> {
    switch self {
    case .setMemoryTable: 1...Session.memoryTableLimit
    case .setVringKick, .setVringCall, .setVringError: 0...1
    case .addMemoryRegion, .setBackendChannel: 1...1
    // Front-ends have been seen to send the region's descriptor when they remove it.
    case .removeMemoryRegion: 0...1
    case .setLogBase, .setLogDescriptor: 0...1
    default: 0...0
    }
  }

  /// Checks the shape of a message with this request.
  func check(payload: [UInt8], descriptorCount: Int) throws(SessionError) {
    guard payloadByteCount == nil || payload.count == payloadByteCount else {
      throw .badPayload(self, byteCount: payload.count)
    }
    // At least the count and one region; the table's own decoding finds out more.
    guard self != .setMemoryTable || payload.count >= 8 + RegionDescription.byteCount else {
      throw .badPayload(self, byteCount: payload.count)
    }
    guard descriptorCounts.contains(descriptorCount) else {
      throw .badDescriptorCount(self, count: descriptorCount)
    }
  }
}
