// SPDX-License-Identifier: Apache-2.0

package import Linux

/// Runs a test's body on a thread in a network of its own, in which the kernel says nothing by itself: with IPv6
/// it would look for routers and neighbours just when it likes.
package func inNewNetwork(_ body: @escaping @Sendable () throws -> Void) throws {
  let worker = try WorkerThread<(any Error)?>.start(name: "network", state: 0) { _ in
    do {
      try CurrentThread.moveToNewNetwork()
      // A kernel without IPv6 has no such file, and in a container it may be read-only.
      try? setParameter("ipv6/conf/default/disable_ipv6", "1")
      try body()
      return nil
    } catch {
      return error
    }
  }
  if let error = worker.join() { throw error }
}

extension NetworkInterface {
  /// Lets the kernel ask for a neighbour for as long as that may take, not three times: it would lose what it
  /// was to send. Where that cannot be set it asks three times.
  package func waitForNeighbours() {
    try? setParameter("ipv4/neigh/\(name)/mcast_solicit", "1000")
  }

  /// Whether it is gone, or soon will be: a tap goes with the last of its descriptors.
  package var isGone: Bool { eventually { !exists } }
}

/// Sets a parameter of this thread's network.
private func setParameter(_ name: String, _ value: String) throws(Errno) {
  try FileDescriptor.open("/proc/sys/net/\(name)", .writeOnly).writeAll(Array(value.utf8))
}
