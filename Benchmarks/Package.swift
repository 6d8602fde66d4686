// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
//
// The benchmarks, a package of their own so that nobody who uses the library resolves what they need.

import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// What a load over vhost-user needs.
let load: [Target.Dependency] = [
  "Measuring",
  .product(name: "VirtioRing", package: "lgdev"),
  .product(name: "VirtioTesting", package: "lgdev"),
  .product(name: "VhostUserTesting", package: "lgdev"),
  .product(name: "Backends", package: "lgdev"),
]

let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "lgdev", path: "..")],
  targets: [
    // The C yardstick's header; its code is built twice, by gcc and by clang, and loaded at run time.
    .target(name: "CRing"),
    .executableTarget(
      name: "ring-bench",
      dependencies: [
        "CRing",
        .product(name: "VirtioRing", package: "lgdev"),
        .product(name: "VirtioTesting", package: "lgdev"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "blk-bench", dependencies: load, swiftSettings: strict),
    .executableTarget(name: "net-bench", dependencies: load, swiftSettings: strict),
    .target(
      name: "Measuring",
      dependencies: [.product(name: "Backends", package: "lgdev")], swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
