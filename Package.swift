// swift-tools-version: 6.2
import PackageDescription

/// Language settings shared by every Swift target.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// For targets that wrap no C: every unsafe construct must be marked.
let strict = settings + [.strictMemorySafety()]

let package = Package(
    name: "roost",
    products: [],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        .systemLibrary(name: "CUV", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
        .target(name: "Domain", swiftSettings: strict),
        .target(name: "Loop", dependencies: ["CUV", "Domain"], swiftSettings: settings),
        .target(
            name: "TestSupport", dependencies: ["Domain", "Loop"], path: "Tests/TestSupport", swiftSettings: settings),
        .testTarget(name: "LoopTests", dependencies: ["Domain", "Loop", "TestSupport"], swiftSettings: settings),
        .target(name: "JSON", dependencies: ["CJansson"], swiftSettings: settings),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: settings),
        // The system's sources of llhttp (package node-llhttp), included from one-line files.
        .target(name: "CLLHTTP", cSettings: [.define("LLHTTP_STRICT_MODE", to: "1")]),
        .target(name: "HTTP", dependencies: ["CLLHTTP", "Domain", "Loop"], swiftSettings: settings),
        .testTarget(
            name: "HTTPTests", dependencies: ["Domain", "HTTP", "Loop", "TestSupport"], swiftSettings: settings),
    ]
)
