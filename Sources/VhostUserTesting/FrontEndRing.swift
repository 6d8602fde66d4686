// SPDX-License-Identifier: Apache-2.0

public import Linux
public import VirtioTesting

/// A ring that a front-end drives: an honest driver, a kick and a call.
public struct FrontEndRing: ~Copyable, Sendable {
  /// Which of the device's queues.
  public let index: Int
  /// The driver's end of the ring.
  public var driver: Driver
  /// What the driver kicks.
  public let kick: EventFD
  /// What the back-end calls.
  public let call: EventFD
  /// How long the back-end may take. It only ends a hang.
  public var patience = Duration.seconds(120)

  /// Puts a ring together; `FrontEnd.startRing` tells the back-end of it.
  public init(index: Int, driver: consuming Driver) throws(FrontEndError) {
    let kick = try Self.makeEventFD()
    let call = try Self.makeEventFD()
    self.index = index
    self.driver = driver
    self.kick = kick
    self.call = call
  }

  private static func makeEventFD() throws(FrontEndError) -> EventFD {
    do {
      return try EventFD()
    } catch {
      throw .system(error)
    }
  }

  /// Makes a chain available and kicks if the back-end wants it.
  ///
  /// - Returns: false where too few descriptors are free.
  public mutating func offer(_ buffers: [DriverBuffer], token: UInt64 = 0) -> Bool {
    guard driver.offer(buffers, token: token) else { return false }
    if driver.needsKick() { kick.signal() }
    return true
  }

  /// Takes a used chain, sleeping until there is one.
  public mutating func collect() throws(FrontEndError) -> UsedChain {
    while true {
      do {
        if let used = try driver.collect() { return used }
      } catch {
        throw .badRing
      }
      if driver.allowCalls() { continue }
      do {
        guard try !Poll.wait(for: .readable, on: call.descriptor, timeout: patience).isEmpty
        else { throw FrontEndError.timeout }
      } catch let error as Errno {
        throw .system(error)
      } catch {
        throw .timeout
      }
      call.drain()
    }
  }
}
