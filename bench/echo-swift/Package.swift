// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "echo-swift",
    products: [.executable(name: "echo-swift", targets: ["echo-swift"])],
    dependencies: [.package(path: "../../runtime/swift")],
    targets: [
        .executableTarget(name: "echo-swift", dependencies: [.product(name: "WorkerRuntime", package: "swift")])
    ],
    swiftLanguageModes: [.v6]
)
