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
  ],
  swiftLanguageModes: [.v6]
)
