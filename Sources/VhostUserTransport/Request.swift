// SPDX-License-Identifier: Apache-2.0
//
// The numbers of the vhost-user protocol: requests in both directions, protocol features, header flags
// (QEMU's docs/interop/vhost-user.rst, "Message types").

/// What a front-end asks of a back-end.
public enum FrontEndRequest: UInt32, Sendable, CaseIterable {
  /// VHOST_USER_GET_FEATURES: which virtio features the device offers. Answered.
  case getFeatures = 1
  /// VHOST_USER_SET_FEATURES: which of them the driver accepted.
  case setFeatures = 2
  /// VHOST_USER_SET_OWNER: a session begins.
  case setOwner = 3
  /// VHOST_USER_RESET_OWNER: deprecated; stops all rings here.
  case resetOwner = 4
  /// VHOST_USER_SET_MEM_TABLE: all memory regions, a descriptor each.
  case setMemoryTable = 5
  /// VHOST_USER_SET_LOG_BASE: where to log writes for a migration.
  case setLogBase = 6
  /// VHOST_USER_SET_LOG_FD: what to signal when something was logged.
  case setLogDescriptor = 7
  /// VHOST_USER_SET_VRING_NUM: how many entries a ring has.
  case setVringSize = 8
  /// VHOST_USER_SET_VRING_ADDR: where a ring lies.
  case setVringAddress = 9
  /// VHOST_USER_SET_VRING_BASE: where to go on in a ring.
  case setVringBase = 10
  /// VHOST_USER_GET_VRING_BASE: stop a ring and tell where it stands. Answered.
  case getVringBase = 11
  /// VHOST_USER_SET_VRING_KICK: how the driver kicks; starts the ring.
  case setVringKick = 12
  /// VHOST_USER_SET_VRING_CALL: how to call the driver.
  case setVringCall = 13
  /// VHOST_USER_SET_VRING_ERR: how to tell that a ring is broken.
  case setVringError = 14
  /// VHOST_USER_GET_PROTOCOL_FEATURES: which parts of the protocol are offered. Answered.
  case getProtocolFeatures = 15
  /// VHOST_USER_SET_PROTOCOL_FEATURES: which of them the front-end uses.
  case setProtocolFeatures = 16
  /// VHOST_USER_GET_QUEUE_NUM: how many queues the device has. Answered.
  case getQueueCount = 17
  /// VHOST_USER_SET_VRING_ENABLE: enable or disable a ring.
  case setVringEnable = 18
  /// VHOST_USER_SET_BACKEND_REQ_FD: the channel for requests of the back-end.
  case setBackendChannel = 21
  /// VHOST_USER_GET_CONFIG: read the configuration space. Answered.
  case getConfiguration = 24
  /// VHOST_USER_SET_CONFIG: write to the configuration space.
  case setConfiguration = 25
  /// VHOST_USER_RESET_DEVICE: stop and disable all rings, forget the driver.
  case resetDevice = 34
  /// VHOST_USER_VRING_KICK: a kick as a message.
  case vringKick = 35
  /// VHOST_USER_GET_MAX_MEM_SLOTS: how many memory regions there may be. Answered.
  case getMemorySlotCount = 36
  /// VHOST_USER_ADD_MEM_REG: one more memory region.
  case addMemoryRegion = 37
  /// VHOST_USER_REM_MEM_REG: one memory region less.
  case removeMemoryRegion = 38
  /// VHOST_USER_SET_STATUS: the device status that the driver wrote.
  case setStatus = 39
  /// VHOST_USER_GET_STATUS: the device status. Answered.
  case getStatus = 40
}

/// What a back-end asks of a front-end, over the channel of `FrontEndRequest.setBackendChannel`.
public enum BackEndRequest: UInt32, Sendable {
  /// VHOST_USER_BACKEND_CONFIG_CHANGE_MSG: the configuration space has changed.
  case configurationChange = 2
  /// VHOST_USER_BACKEND_VRING_CALL: a call as a message.
  case vringCall = 4
  /// VHOST_USER_BACKEND_VRING_ERR: a ring is broken.
  case vringError = 5
}

/// Parts of the protocol that both sides must know.
public struct ProtocolFeatures: OptionSet, Sendable, Hashable {
  /// Bit `n` is protocol feature `n`.
  public let rawValue: UInt64

  /// Makes a set of bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// VHOST_USER_PROTOCOL_F_MQ: the number of queues can be asked.
  public static let multipleQueues = ProtocolFeatures(rawValue: 1 << 0)
  /// VHOST_USER_PROTOCOL_F_REPLY_ACK: a reply can be asked for to any request.
  public static let replyAck = ProtocolFeatures(rawValue: 1 << 3)
  /// VHOST_USER_PROTOCOL_F_BACKEND_REQ: there can be a channel for requests of the back-end.
  public static let backendRequests = ProtocolFeatures(rawValue: 1 << 5)
  /// VHOST_USER_PROTOCOL_F_CONFIG: the configuration space is read and written by messages.
  public static let configuration = ProtocolFeatures(rawValue: 1 << 9)
  /// VHOST_USER_PROTOCOL_F_RESET_DEVICE.
  public static let resetDevice = ProtocolFeatures(rawValue: 1 << 13)
  /// VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS: kicks and calls can be messages.
  public static let inBandNotifications = ProtocolFeatures(rawValue: 1 << 14)
  /// VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS: memory regions come and go one by one.
  public static let memorySlots = ProtocolFeatures(rawValue: 1 << 15)
  /// VHOST_USER_PROTOCOL_F_STATUS: the device status is passed on.
  public static let status = ProtocolFeatures(rawValue: 1 << 16)

  /// What this back-end offers to everybody.
  ///
  /// INBAND_NOTIFICATIONS it offers on request only. A front-end may take what is offered though it needs no
  /// such thing, and then each kick is a message to the control thread.
  public static let offered: ProtocolFeatures = [
    .multipleQueues, .replyAck, .backendRequests, .configuration, .resetDevice, .memorySlots,
    .status,
  ]
}

/// The flags of a message's header.
public enum MessageFlags {
  /// The version, in the lowest two bits.
  public static let version: UInt32 = 1
  /// The bits that hold the version.
  public static let versionMask: UInt32 = 3
  /// Set in every reply.
  public static let reply: UInt32 = 1 << 2
  /// Asks for a reply; counts where REPLY_ACK was negotiated.
  public static let needReply: UInt32 = 1 << 3
}

/// The feature bit by which a back-end says that it has protocol features.
///
/// It stands among the virtio features but is none: no device offers it, no driver sees it.
public let protocolFeaturesBit: UInt64 = 1 << 30
