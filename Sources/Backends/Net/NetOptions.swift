// SPDX-License-Identifier: Apache-2.0

public import Linux

/// What a network device is connected to, and what it tells its driver.
public struct NetOptions: Sendable {
  /// Where the device's frames go.
  public enum Tap: Sendable, Equatable {
    /// A tap interface of the host: the one of this name if there is one, else one that is made and
    /// vanishes with the device. nil lets the kernel choose the name.
    case create(String?)
    /// An open descriptor, which the device takes over: a tap opened with IFF_NO_PI and
    /// IFF_VNET_HDR, or a socket that keeps messages apart, with the header that driver and device
    /// settle on before each frame.
    case fd(Int32)
  }

  /// Where the frames go.
  public var tap: Tap

  /// The driver's address; nil leaves it to the driver, which usually makes one up.
  public var mac: MACAddress?

  /// How long a packet may be, in bytes, 68 to 65521: set on the tap and told to the driver. nil
  /// leaves the tap as it is and tells nothing.
  public var mtu: Int?

  /// A bridge of the host that the tap becomes a port of.
  public var bridge: String?

  /// The address of the host's end of the tap, such as `10.0.0.1/24`.
  public var address: IPv4Prefix?

  /// Whether frames may come and go with unfinished checksums and as large segments.
  public var offloads = true

  /// How long a driver may take to give the rest of the buffers for a frame that has been read, before
  /// the frame is dropped.
  public var bufferPatience = Duration.milliseconds(20)

  /// How long a full tap is waited for before frames are dropped.
  public var tapPatience = Duration.seconds(1)

  /// Told in one line what went wrong, at most once a second, on a queue's thread.
  public var onTrouble: (@Sendable (String) -> Void)?

  /// A device on a tap that the kernel names, nothing else set.
  public init(tap: Tap = .create(nil)) { self.tap = tap }
}
