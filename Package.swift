// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
//
// The rooms of the project and the arrows between them. Arrows point one way:
// lgdev -> transports -> Backends -> VirtioRing. The operating system is reached through Linux
// (and below it CLinux) from Backends upwards, never from VirtioRing.

import PackageDescription

/// Every Swift target is compiled under the same rules.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// The fuzzers' executables have no main function: libFuzzer brings it. So they are there only for
/// Fuzz/run.sh, which sets the variable and gives the flags that link libFuzzer in.
let fuzzers: [Target] =
  Context.environment["LGDEV_FUZZ"] == nil
  ? []
  : [
    ("FuzzRingSplit", "RingHarness"), ("FuzzRingPacked", "RingHarness"),
    ("FuzzDiskLayout", "DiskHarness"),
  ].map { name, harness in
    .executableTarget(
      name: name, dependencies: [.target(name: harness)], path: "Fuzz/\(name)",
      swiftSettings: strict)
  }

let package = Package(
  name: "lgdev",
  products: [
    .library(name: "VirtioRing", targets: ["VirtioRing"]),
    .library(name: "VirtioTesting", targets: ["VirtioTesting"]),
    .library(name: "Backends", targets: ["Backends", "Linux"]),
    .library(name: "LguestTransport", targets: ["LguestTransport"]),
    .library(name: "DiskLayout", targets: ["DiskLayout"]),
    .library(name: "VhostUserTransport", targets: ["VhostUserTransport"]),
    .library(name: "VhostUserTesting", targets: ["VhostUserTesting"]),
    .library(name: "FuseExport", targets: ["FuseExport"]),
    .executable(name: "lgdev", targets: ["lgdev"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
  ],
  targets: [
    // The only C: calls and macros that Swift cannot import, one-line wrappers.
    .target(
      name: "CLinux",
      cSettings: [.define("_GNU_SOURCE"), .enableWarning("all"), .treatAllWarnings(as: .error)]),
    .systemLibrary(
      name: "CLibfuse", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
    .systemLibrary(
      name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "CLibyaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

    .target(name: "VirtioRing", swiftSettings: strict),
    .target(name: "VirtioTesting", dependencies: ["VirtioRing"], swiftSettings: strict),
    .target(name: "Linux", dependencies: ["CLinux"], swiftSettings: strict),
    .target(
      name: "Backends",
      dependencies: [
        "VirtioRing", "Linux", "CLinux", "CLiburing",
      ],
      swiftSettings: strict),
    .target(
      name: "LguestTransport",
      dependencies: [
        "VirtioRing", "Backends", "Linux",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "VhostUserTransport",
      dependencies: [
        "VirtioRing", "Backends", "Linux",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .target(
      name: "FuseExport",
      dependencies: ["Backends", "DiskLayout", "Linux", "CLinux", "CLibfuse"],
      swiftSettings: strict),
    .target(
      name: "VhostUserTesting",
      dependencies: ["VirtioRing", "VirtioTesting", "VhostUserTransport", "Linux"],
      swiftSettings: strict),
    // What is on a disk image: bytes in, a description out. It knows nobody.
    .target(name: "DiskLayout", swiftSettings: strict),
    .executableTarget(
      name: "lgdev",
      dependencies: [
        "LguestTransport", "VhostUserTransport", "FuseExport", "Backends", "VirtioRing", "Linux",
        "CLibyaml",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),

    // The devices linked into a monitor: it sees no more of the libraries than a stranger's package.
    .executableTarget(
      name: "toy-vmm", dependencies: ["Backends", "Linux", "VirtioRing", "VirtioTesting"],
      path: "Examples/toy-vmm", packageAccess: false, swiftSettings: strict),

    .target(
      name: "CHostTesting", path: "Tests/CHostTesting",
      cSettings: [.define("_GNU_SOURCE"), .enableWarning("all"), .treatAllWarnings(as: .error)]),
    // What tests of every room need: waiting, a network and a directory of their own.
    .target(
      name: "HostTesting", dependencies: ["Linux", "CHostTesting"], path: "Tests/HostTesting",
      swiftSettings: strict),
    .testTarget(
      name: "LinuxTests", dependencies: ["Linux", "CLinux", "HostTesting"], swiftSettings: strict),
    // The ring's driver, device and reference model in one, fed by tests, proofs and fuzzers.
    .target(
      name: "RingHarness", dependencies: ["VirtioRing", "VirtioTesting"],
      path: "Fuzz/RingHarness", swiftSettings: strict),
    .executableTarget(
      name: "ring-model", dependencies: ["RingHarness", "VirtioRing"], path: "Fuzz/ring-model",
      swiftSettings: strict),
    .executableTarget(
      name: "ring-calls", dependencies: ["VirtioRing", "VirtioTesting"],
      path: "Tests/Proofs/RingCalls", swiftSettings: strict),
    .executableTarget(
      name: "ring-fences", dependencies: ["VirtioRing", "VirtioTesting", "Linux"],
      path: "Tests/Proofs/RingFences", swiftSettings: strict),
    .executableTarget(
      name: "meter-calls", dependencies: ["Backends", "Linux", "VirtioRing", "VirtioTesting"],
      path: "Tests/Proofs/MeterCalls", swiftSettings: strict),
    .testTarget(
      name: "VirtioRingTests",
      dependencies: ["VirtioRing", "VirtioTesting", "RingHarness", "HostTesting", "Linux"],
      swiftSettings: strict),
    .testTarget(
      name: "BackendsTests",
      dependencies: ["Backends", "HostTesting", "Linux", "VirtioRing", "VirtioTesting"],
      swiftSettings: strict),
    // A host module that tests play, and kernels that they make up.
    .target(
      name: "LguestTesting",
      dependencies: ["LguestTransport", "Backends", "Linux", "VirtioRing", "VirtioTesting"],
      path: "Tests/LguestTesting", swiftSettings: strict),
    .testTarget(
      name: "LguestTransportTests",
      dependencies: [
        "LguestTransport", "LguestTesting", "Backends", "HostTesting", "Linux", "VirtioRing",
        "VirtioTesting",
        .product(name: "Logging", package: "swift-log"),
      ],
      exclude: ["Recordings"], swiftSettings: strict),
    .testTarget(
      name: "VhostUserTransportTests",
      dependencies: [
        "VhostUserTransport", "VhostUserTesting", "Backends", "HostTesting", "Linux",
        "VirtioRing", "VirtioTesting",
        .product(name: "Logging", package: "swift-log"),
      ],
      exclude: ["Recordings"], swiftSettings: strict),
    // Images in memory and what must hold of every layout, fed by tests and a fuzzer.
    .target(
      name: "DiskHarness", dependencies: ["DiskLayout"], path: "Fuzz/DiskHarness",
      swiftSettings: strict),
    .testTarget(
      name: "FuseExportTests", dependencies: ["FuseExport", "Backends", "Linux"],
      swiftSettings: strict),
    .testTarget(
      name: "DiskLayoutTests", dependencies: ["DiskLayout", "DiskHarness", "Linux"],
      swiftSettings: strict),
    .testTarget(
      name: "LgdevTests",
      dependencies: [
        "lgdev", "Backends", "HostTesting", "LguestTesting", "LguestTransport", "Linux",
        "VhostUserTesting", "VhostUserTransport", "VirtioRing", "VirtioTesting",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
  ] + fuzzers,
  swiftLanguageModes: [.v6]
)
