// SPDX-License-Identifier: Apache-2.0
//
// NetDevice: a network device (virtio 1.3, 5.1) on a tap of the host.
//
//     driver's memory                                          host
//     receiveq   <--  NetReceiver    <-- readv  --  tap  <--  its network stack, or a bridge
//     transmitq  -->  NetTransmitter --  writev -->
//
// The two queues share nothing but the tap and NetLink. What the driver accepts decides three
// things at once: the header's size, what the tap may leave unfinished on the way to the driver,
// and what is let through on the way out. The first two are told to the tap, the third is checked
// for every frame.
//
// There is no control queue and one pair of queues.

import Linux
import Synchronization
public import VirtioRing

/// A network device.
public final class NetDevice: Device {
  /// Network.
  public let id = DeviceID.net
  /// The device's short name.
  public let name: String
  /// What rings can do, and what the tap and the options allow.
  public let offeredFeatures: Features
  /// receiveq1, transmitq1.
  public let queueSizes: [UInt16] = NetDevice.queueSizes
  package static let queueSizes: [UInt16] = [1024, 1024]
  /// Signalled when the link goes up or down.
  public let configurationChange = ChangeSignal()
  /// Each queue is served in order.
  public let givesBackInOrder = true
  /// The counters of each queue.
  public let statistics = [QueueStatistics("rx"), QueueStatistics("tx")]

  let tap: TapBackend
  private let link: NetLink
  private let monitor: LinkMonitor?
  private let address: MACAddress?
  private let mtu: UInt16
  private let trouble: TroubleReport
  private let bufferPatience: Duration
  private let tapPatience: Duration
  private let format = Mutex(NetFormat([]))

  /// Makes a network device and opens its tap, which is set up as the options say.
  ///
  /// - Throws: the option that makes no sense, or what the host refused and what to do about it.
  public init(name: String, options: NetOptions) throws(DeviceError) {
    if let mtu = options.mtu, !TapSetup.mtuRange.contains(mtu) {
      throw DeviceError(
        "make \(name)",
        "an MTU has \(TapSetup.mtuRange.lowerBound) to \(TapSetup.mtuRange.upperBound) bytes, "
          + "not \(mtu)")
    }
    ThreadStarter.prepare()
    self.name = name
    address = options.mac
    mtu = UInt16(clamping: options.mtu ?? 0)
    trouble = TroubleReport(options.onTrouble)
    bufferPatience = options.bufferPatience
    tapPatience = options.tapPatience
    let loss = trouble.separate()
    let link = NetLink(change: configurationChange) {
      loss.report(
        "\(name): the host's interface is gone; the link stays down until the device is made anew")
    }
    let tap = try TapBackend.open(name: name, options: options)
    var features = Features.allRing.union([.netMergeBuffers, .netStatus])
    if address != nil { features.insert(.netMAC) }
    if mtu > 0 { features.insert(.netMTU) }
    if options.offloads { features.formUnion(tap.offloads.features) }
    offeredFeatures = features
    monitor = try Self.monitor(tap, name: name, link: link)
    self.link = link
    self.tap = tap
  }

  /// Address, link status, number of queue pairs, packet length.
  public func configuration() -> [UInt8] {
    NetConfiguration(address: address, isLinkUp: link.isUp, mtu: mtu).bytes
  }

  /// Takes the link up or down. A link that is down drops all frames.
  public func setLink(up: Bool) { link.setWanted(up) }

  /// Whether the link is up, as the driver is told.
  public var isLinkUp: Bool { link.isUp }

  /// The name that the host's interface had when the device was made; nil for a socket, and for a
  /// tap in another network.
  public var interfaceName: String? { tap.interface?.name }

  /// Settles the header's size and the offloads with the tap.
  public func driverAccepted(_ features: Features) {
    let new = NetFormat(features)
    format.withLock { format in
      guard format != new else { return }
      format = new
      settle(new)
    }
  }

  /// Forgets what the driver accepted.
  public func reset() { driverAccepted([]) }

  /// Starts to serve one of the two queues.
  public func start(
    _ queue: consuming Virtqueue, index: Int, wiring: consuming QueueWiring
  ) throws(DeviceError) -> RunningQueue {
    let format = format.withLock { $0 }
    do throws(Errno) {
      let descriptor = try tap.duplicate()
      if index == 0 {
        let body = NetReceiver(
          name: name, tap: descriptor, mayWait: tap.mayWait, format: format, link: link,
          trouble: trouble, patience: bufferPatience)
        return try QueueWorker.start(
          name: "\(name)-rx", queue: queue, body: body, wiring: wiring, statistics: statistics[0])
      } else {
        precondition(index == 1, "a network device has two queues")
        queue.ignoreWriteInTables()
        let body = NetTransmitter(
          name: name, tap: descriptor, format: format, link: link, trouble: trouble,
          patience: tapPatience)
        return try QueueWorker.start(
          name: "\(name)-tx", queue: queue, body: body, wiring: wiring, statistics: statistics[1])
      }
    } catch {
      throw DeviceError("start \(name)", error)
    }
  }

  /// Where there is an interface to watch, watches it.
  private static func monitor(
    _ tap: borrowing TapBackend, name: String, link: NetLink
  ) throws(DeviceError) -> LinkMonitor? {
    guard tap.interface != nil else { return nil }
    do throws(Errno) {
      return try LinkMonitor(name: name, tap: tap.duplicate(), link: link)
    } catch {
      throw DeviceError("watch the interface of \(name)", error)
    }
  }

  private func settle(_ format: NetFormat) {
    do throws(Errno) {
      try tap.settle(format)
    } catch {
      if TapBackend.isGone(error) {
        link.lose()
      } else {
        trouble.report("\(name): the tap does not take what the driver accepted: \(error)")
      }
    }
  }
}
