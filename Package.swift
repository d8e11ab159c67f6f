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

/// For targets whose tests look inside, and that are not on the invocation path: it costs optimisations.
let testable: [SwiftSetting] = [.unsafeFlags(["-enable-testing"], .when(configuration: .release))]

let package = Package(
    name: "roost",
    products: [
        .executable(name: "roost", targets: ["RoostCommand"]),
        .executable(name: "roost-launch", targets: ["Launch"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
        .systemLibrary(name: "CUV", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .target(name: "CLLHTTP", cSettings: [.define("LLHTTP_STRICT_MODE", to: "1")]),

        .target(name: "Domain", swiftSettings: strict),
        .target(name: "JSON", dependencies: ["CJansson"], swiftSettings: settings),
        .target(name: "Loop", dependencies: ["CUV", "Domain"], swiftSettings: settings),
        .target(name: "HTTP", dependencies: ["CLLHTTP", "Domain", "Loop"], swiftSettings: settings),
        .target(
            name: "Artifacts", dependencies: ["CArchive", "Domain", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: settings + testable),
        .target(
            name: "Registry", dependencies: ["Domain", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: settings + testable),
        .target(name: "Transfers", dependencies: ["CCurl", "Domain", "Loop"], swiftSettings: settings + testable),
        .target(name: "Scheduling", dependencies: ["Domain"], swiftSettings: strict),
        .target(name: "Simulator", dependencies: ["Domain", "Scheduling"], swiftSettings: strict + testable),
        .target(
            name: "Workers", dependencies: ["Artifacts", "Domain", "HTTP", "JSON", "Loop"], swiftSettings: settings),
        .target(
            name: "Signing", dependencies: ["Domain", "JSON", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .target(
            name: "Management", dependencies: ["Artifacts", "Domain", "Loop", "Registry"],
            swiftSettings: strict + testable),
        .target(
            name: "Dispatching",
            dependencies: [
                "Artifacts", "Domain", "JSON", "Loop", "Management", "Registry", "Scheduling", "Signing", "Transfers",
                "Workers",
            ],
            swiftSettings: settings),
        .target(name: "Manifests", dependencies: ["Domain", "JSON"], swiftSettings: strict),
        .target(
            name: "LambdaAPI",
            dependencies: [
                "Artifacts", "Dispatching", "Domain", "JSON", "Loop", "Management", "Manifests", "Registry", "Signing",
            ],
            swiftSettings: strict),
        .target(
            name: "RoostAPI",
            dependencies: [
                "Artifacts", "Dispatching", "Domain", "JSON", "LambdaAPI", "Loop", "Management", "Manifests",
                "Registry", "Scheduling", "Signing", "Workers",
            ],
            swiftSettings: strict),
        .target(
            name: "Host",
            dependencies: [
                "Artifacts", "Dispatching", "Domain", "HTTP", "JSON", "LambdaAPI", "Loop", "Management", "Registry",
                "RoostAPI", "Scheduling", "Signing", "Workers", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "RoostCommand",
            dependencies: [
                "Artifacts", "CCurl", "Domain", "Host", "JSON", "Manifests", "Scheduling", "Signing", "Simulator",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings + testable),
        // Static and without Swift's start files: inside a sandbox there is no Swift runtime.
        .executableTarget(
            name: "Launch", linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-executable"])]),

        .target(
            name: "TestSupport", dependencies: ["Domain", "Loop"], path: "Tests/TestSupport", swiftSettings: settings),
        .testTarget(name: "ArtifactsTests", dependencies: ["Artifacts", "Domain"], swiftSettings: settings),
        .testTarget(
            name: "CommandTests", dependencies: ["Artifacts", "Domain", "JSON", "RoostCommand"],
            swiftSettings: settings),
        .testTarget(
            name: "DispatchingTests",
            dependencies: ["Artifacts", "Dispatching", "Domain", "Loop", "Registry", "TestSupport", "Workers"],
            swiftSettings: settings),
        .testTarget(name: "DomainTests", dependencies: ["Domain"], swiftSettings: settings),
        .testTarget(
            name: "HTTPTests", dependencies: ["Domain", "HTTP", "Loop"], swiftSettings: settings),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: settings),
        .testTarget(
            name: "LambdaAPITests",
            dependencies: [
                "Artifacts", "Dispatching", "Domain", "JSON", "LambdaAPI", "Loop", "Management", "Manifests",
                "Registry",
                "RoostAPI", "Scheduling", "TestSupport",
            ],
            swiftSettings: settings),
        .testTarget(name: "LoopTests", dependencies: ["Domain", "Loop", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "ManagementTests", dependencies: ["Domain", "Management", "Registry"], swiftSettings: settings),
        .testTarget(
            name: "RegistryTests", dependencies: ["Domain", "Registry", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: settings),
        .target(name: "AllocationCount", path: "Tests/AllocationCount"),
        .testTarget(
            name: "SchedulingTests", dependencies: ["AllocationCount", "Domain", "Scheduling"], swiftSettings: strict),
        .testTarget(
            name: "SigningTests",
            dependencies: ["Domain", "Signing", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: settings),
        .testTarget(
            name: "SimulatorTests", dependencies: ["Domain", "Scheduling", "Simulator"], swiftSettings: strict),
        .testTarget(
            name: "TransfersTests", dependencies: ["Domain", "Loop", "TestSupport", "Transfers"],
            swiftSettings: settings),
        .testTarget(
            name: "WorkersTests", dependencies: ["Domain", "Loop", "TestSupport", "Workers"], swiftSettings: settings),
    ]
)
