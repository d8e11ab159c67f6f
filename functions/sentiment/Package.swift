// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "sentiment",
    products: [.executable(name: "sentiment", targets: ["sentiment"])],
    dependencies: [.package(path: "../../runtime/swift")],
    targets: [
        .target(
            name: "TextClassifier", dependencies: [.product(name: "WorkerRuntime", package: "swift")],
            swiftSettings: settings),
        .executableTarget(
            name: "sentiment", dependencies: ["TextClassifier", .product(name: "WorkerRuntime", package: "swift")],
            swiftSettings: settings),
        .testTarget(
            name: "TextClassifierTests",
            dependencies: ["TextClassifier", .product(name: "WorkerRuntime", package: "swift")],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
