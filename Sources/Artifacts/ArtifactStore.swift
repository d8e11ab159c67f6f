package import Domain

/// Immutable files addressed by their SHA-256, in a directory. Every call blocks; make none on the loop.
package final class ArtifactStore: Sendable {
    package struct Limits: Equatable, Sendable {
        /// Of one file. Default 16 GiB.
        package var fileBytesMax = 16 << 30
        /// Of a folder or manifest. Default 20,000 files and 16 GiB.
        package var folder = Manifest.Limits()
        /// Of a zip, unpacked. Default 20,000 entries and 2 GiB.
        package var packageFilesMax = 20_000
        package var packageBytesMax = 2 << 30
        package init() {}
    }

    package struct StoredFolder: Equatable, Sendable {
        package var manifest: Digest
        package var filesCount: Int
        package var sizeBytes: Int
    }

    package struct StoredPackage: Equatable, Sendable {
        package var manifest: Digest
        /// SHA-256 of the zip.
        package var codeDigest: Digest
        /// Bytes of the zip.
        package var codeSizeBytes: Int
        package var unpackedBytes: Int
    }

    /// Makes `directory` when it is missing, and removes what a killed host left unfinished.
    package init(directory: String, limits: Limits = .init()) throws(ArtifactError) { fatalError() }

    package func contains(_ digest: Digest) -> Bool { fatalError() }
    /// The stored file's size, `nil` when there is none.
    package func size(of digest: Digest) -> Int? { fatalError() }
    /// Where the bytes of a stored file are. Read-only.
    package func path(of digest: Digest) -> String { fatalError() }
    /// All bytes of a small stored file, checked against its digest.
    package func read(_ digest: Digest, bytesMax: Int = 64 << 20) throws(ArtifactError) -> [UInt8] { fatalError() }

    package func put(_ bytes: [UInt8]) throws(ArtifactError) -> Digest { fatalError() }
    package func beginUpload(expecting digest: Digest, sizeBytes: Int? = nil) throws(ArtifactError) -> Upload {
        fatalError()
    }

    /// Stores a manifest all of whose files are stored.
    package func storeManifest(_ text: [UInt8]) throws(ArtifactError) -> Manifest { fatalError() }
    /// A stored manifest.
    package func manifest(_ digest: Digest) throws(ArtifactError) -> Manifest { fatalError() }
    /// The files of a manifest that are not stored, each once.
    package func missing(in manifest: Manifest) -> [Digest] { fatalError() }

    /// Copies the folder's files into the store. Links, devices, pipes and sockets are refused.
    package func storeFolder(at path: String) throws(ArtifactError) -> StoredFolder { fatalError() }
    package func storeZip(_ bytes: [UInt8]) throws(ArtifactError) -> StoredPackage { fatalError() }

    /// The read-only directory with the files of a stored manifest.
    package func tree(_ manifest: Digest) throws(ArtifactError) -> String { fatalError() }
}
