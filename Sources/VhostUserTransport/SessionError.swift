// SPDX-License-Identifier: Apache-2.0

public import Backends
public import Linux
public import VirtioRing

/// What a front-end did wrong, or what the host refused it.
///
/// Where the front-end asked for a reply, `isRefusal` errors are answered and change nothing; all
/// others end the session, as does a refusal that nobody waits to hear of.
public enum SessionError: Error, Sendable {
  // The stream of messages.
  /// The front-end is gone, between two messages: the usual end.
  case hangup
  /// The front-end is gone in the middle of a message.
  case hangupInMessage
  /// The socket failed.
  case socket(Errno)
  /// A header whose version is not 1, or which is a reply.
  case badFlags(UInt32)
  /// A payload longer than that of any request.
  case payloadTooLarge(request: UInt32, byteCount: UInt32)
  /// More descriptors than any request has.
  case tooManyDescriptors
  /// Descriptors came that this process may not have open: it has too many.
  case outOfDescriptors

  // What a request says.
  /// A request that nobody defined, or of a part of the protocol that is not offered.
  case unknownRequest(UInt32)
  /// A payload that the request cannot have.
  case badPayload(FrontEndRequest, byteCount: Int)
  /// Descriptors that the request does not have, or too few.
  case badDescriptorCount(FrontEndRequest, count: Int)
  /// A descriptor that is no eventfd, pipe or socket.
  case badDescriptorKind(FrontEndRequest)
  /// A ring that the device does not have.
  case noSuchRing(UInt64)
  /// Bits that are to be zero.
  case badNumber(FrontEndRequest, UInt64)
  /// A ring of 0 entries or of more than the device allows.
  case badRingSize(UInt32, limit: UInt16)
  /// A running ring cannot be changed in this way.
  case ringIsRunning(FrontEndRequest)
  /// The driver accepted features that were not offered.
  case featuresNotOffered(UInt64)
  /// The front-end chose protocol features that were not offered.
  case protocolFeaturesNotOffered(UInt64)
  /// INBAND_NOTIFICATIONS without BACKEND_REQ and REPLY_ACK: the protocol wants the end for it.
  case inBandAlone
  /// The driver may not write that piece of the configuration space.
  case configurationNotWritable(offset: UInt32, byteCount: Int)
  /// Memory regions that cannot be.
  case memory(MemoryTableError)

  // What was found later.
  /// Shared memory was taken away while it was in use.
  case memoryVanished
  /// The host refused something.
  case host(DeviceError)

  /// Whether it can be answered, and the session goes on.
  var isRefusal: Bool {
    switch self {
    case .hangup, .hangupInMessage, .socket, .badFlags, .payloadTooLarge, .tooManyDescriptors,
      .outOfDescriptors, .inBandAlone, .memoryVanished:
      false
    case .unknownRequest, .badPayload, .badDescriptorCount, .badDescriptorKind, .noSuchRing,
      .badNumber, .badRingSize, .ringIsRunning, .featuresNotOffered, .protocolFeaturesNotOffered,
      .configurationNotWritable, .memory, .host:
      true
    }
  }
}

extension SessionError: CustomStringConvertible {
  /// One line, lower case, no full stop.
  public var description: String {
    switch self {
    case .hangup: "front-end closed the connection"
    case .hangupInMessage: "front-end closed the connection in the middle of a message"
    case .socket(let errno): "socket: \(errno)"
    case .badFlags(let flags): "message with flags 0x\(String(flags, radix: 16))"
    case .payloadTooLarge(let request, let count):
      "request \(request) with a payload of \(count) bytes"
    case .tooManyDescriptors: "message with too many file descriptors"
    case .outOfDescriptors: "out of file descriptors; raise the limit (ulimit -n)"
    case .unknownRequest(let request): "request \(request) is unknown or not offered"
    case .badPayload(let request, let count): "\(request): payload of \(count) bytes makes no sense"
    case .badDescriptorCount(let request, let count): "\(request): \(count) file descriptors"
    case .badDescriptorKind(let request):
      "\(request): file descriptor is no eventfd, pipe or socket"
    case .noSuchRing(let index): "no ring \(index)"
    case .badNumber(let request, let number):
      "\(request): 0x\(String(number, radix: 16)) makes no sense"
    case .badRingSize(let size, let limit): "ring of \(size) entries, may have 1 to \(limit)"
    case .ringIsRunning(let request): "\(request): the ring is running"
    case .featuresNotOffered(let bits):
      "features 0x\(String(bits, radix: 16)) accepted but not offered"
    case .protocolFeaturesNotOffered(let bits):
      "protocol features 0x\(String(bits, radix: 16)) chosen but not offered"
    case .inBandAlone:
      "in-band notifications without a back-end channel and acknowledged replies"
    case .configurationNotWritable(let offset, let count):
      "configuration bytes \(offset)..<\(Int(offset) + count) are not writable"
    case .memory(let error): error.description
    case .memoryVanished: "shared memory was truncated while in use"
    case .host(let error): error.description
    }
  }
}

/// Why memory regions were refused.
public enum MemoryTableError: Error, Sendable {
  /// A region's end in the guest, in the front-end or in the file passes 2^64.
  case wraps
  /// A region passes its file's end.
  case pastEndOfFile(fileSize: UInt64)
  /// A descriptor could not be mapped: what the system said.
  case notMapped(Errno)
  /// The process has as many mappings as it can watch over.
  case tooManyMappings
  /// Size 0, overlaps, too many.
  case table(GuestMemoryError)
  /// A region to be removed is not there.
  case noSuchRegion
}

extension MemoryTableError: CustomStringConvertible {
  /// One line, lower case, no full stop.
  public var description: String {
    switch self {
    case .wraps: "memory region passes the end of the address space"
    case .pastEndOfFile(let size): "memory region passes the end of its file (\(size) bytes)"
    case .notMapped(let errno):
      "memory region cannot be mapped: \(errno) (guest memory must be a shared file)"
    case .tooManyMappings:
      "memory region cannot be mapped: this process has mapped \(SharedMapping.containedLimit) for all"
        + " its front-ends already; serve fewer devices with one process"
    case .table(let error): error.description
    case .noSuchRegion: "memory region to be removed is not there"
    }
  }
}
