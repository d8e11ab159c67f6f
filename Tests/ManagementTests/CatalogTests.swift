import Domain
import Management
import Testing

@testable import Registry

@Suite("Catalog")
struct CatalogTests {
    private static let name = FunctionName("model")!
    private static let digest = Digest(bytes: [UInt8](repeating: 1, count: 32))

    private static func version(_ number: VersionNumber) -> Version {
        Version(
            number: number, configuration: FunctionConfiguration(runtime: .python3(minor: nil), handler: "a.b"),
            package: digest, codeDigest: digest, codeSizeBytes: 1, model: nil, revision: "r",
            modifiedAt: Timestamp(millisecondsSince1970: 0))
    }

    /// A function with versions 1 and 2, and `live` on 1 with a share for 2.
    private static func catalog(share: Double?) -> Catalog {
        let function = Function(
            id: Function.ID(1), name: name, latest: version(.latest), reservedConcurrency: nil, lastPublished: 2,
            isUpdatedSincePublish: false, createdAt: Timestamp(millisecondsSince1970: 0))
        let target = Alias.Target(
            version: .published(1), additional: share.map { .init(version: 2, weight: $0) })
        let alias = Alias(name: AliasName("live")!, target: target, description: "", revision: "r")
        return Catalog(
            Snapshot(
                functions: [
                    .init(
                        function: function, versions: [version(.published(1)), version(.published(2))],
                        aliases: [alias])
                ],
                versionCounters: [name: 2], functionIDMax: 1))
    }

    @Test(
        "a reference picks its version, and an unknown one is an error",
        arguments: [
            (nil, .latest), (.version(.published(2)), .published(2)), (.alias(AliasName("live")!), .published(1)),
            (.version(.published(3)), nil), (.alias(AliasName("other")!), nil),
        ] as [(Qualifier?, VersionNumber?)])
    func route(qualifier: Qualifier?, expected: VersionNumber?) {
        let route = try? Self.catalog(share: nil).route(Self.name, qualifier)
        #expect(route?.version.number == expected)
    }

    @Test("a weighted alias draws for each invocation", arguments: [(0.0, 2), (0.24, 2), (0.25, 1), (0.99, 1)])
    func weights(draw: Double, expected: Int) throws {
        let route = try Self.catalog(share: 0.25).route(Self.name, .alias(AliasName("live")!), draw: draw)
        #expect(route.version.number == .published(expected))
    }

    @Test("version numbers and function ids are not reused after a delete")
    func counters() {
        let catalog = Self.catalog(share: nil)
        catalog.apply(.deleteFunction(Function.ID(1)))
        #expect(catalog.entries.isEmpty)
        #expect(catalog.nextVersion(of: Self.name) == 3)
        #expect(catalog.nextFunctionID == Function.ID(2))
    }
}
