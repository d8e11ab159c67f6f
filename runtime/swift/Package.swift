// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "WorkerRuntime",
    products: [
        .library(name: "WorkerRuntime", targets: ["WorkerRuntime"])
    ],
    targets: [
        .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
        .target(name: "WorkerRuntime", dependencies: ["CJansson"], swiftSettings: settings),
        .executableTarget(
            name: "StreamingExample", dependencies: ["WorkerRuntime"], path: "Tests/StreamingExample",
            swiftSettings: settings),
        .testTarget(
            name: "WorkerRuntimeTests", dependencies: ["WorkerRuntime", "StreamingExample"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
