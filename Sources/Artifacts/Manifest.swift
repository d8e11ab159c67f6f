package import Domain

/// The files of a folder.
package struct Manifest: Equatable, Sendable {
    package struct File: Equatable, Sendable {
        /// Relative, its components joined by `/`. Any bytes but NUL.
        package var path: [UInt8]
        package var isExecutable: Bool
        package var sizeBytes: Int
        package var digest: Digest
    }

    /// Sorted by the bytes of their paths.
    package private(set) var files: [File]
    package private(set) var sizeBytes: Int

    package struct Limits: Equatable, Sendable {
        package var filesMax = 20_000
        package var bytesMax = 16 << 30
        package init() {}
    }

    /// Sorts `files` and checks their paths.
    package init(files: [File], limits: Limits = .init()) throws(ArtifactError) { fatalError() }

    /// Reads the canonical text, and nothing but the canonical text.
    package init(text: [UInt8], limits: Limits = .init()) throws(ArtifactError) { fatalError() }

    /// The canonical text.
    package var text: [UInt8] { fatalError() }
    /// The folder's digest: SHA-256 of the canonical text.
    package var digest: Digest { fatalError() }
}
