// SPDX-License-Identifier: Apache-2.0
//
// The set algebra of features. Apart from Features.swift, since a set can be made of an array, and the
// ring's core is proved not to allocate.

extension Features: OptionSet {
  /// Everything that `Virtqueue` serves.
  public static let allRing: Features = ringFormats.union(ringNotifications)

  private static let ringFormats = version1.union(packedRing).union(indirectDescriptors)
    .union(inOrder).union(anyLayout).union(orderPlatform).union(ringReset)
  private static let ringNotifications = eventIndex.union(notifyOnEmpty).union(notificationData)
}
