internal import Artifacts
package import Domain

/// Events and answers that are files of the artifact store.
extension Management {
    /// A file of the artifact store with these bytes; on disk when it returns.
    package func store(_ bytes: [UInt8]) async throws(ManagementError) -> Payload {
        .file(try await stored { store throws(ArtifactError) in try store.put(bytes) }, sizeBytes: bytes.count)
    }

    /// All bytes of a payload; those of a file are checked against its digest.
    package func bytes(of payload: Payload) async throws(ManagementError) -> [UInt8] {
        switch payload {
        case .inline(let bytes): bytes
        case .file(let digest, let sizeBytes):
            try await stored { store throws(ArtifactError) in try store.read(digest, bytesMax: sizeBytes) }
        }
    }

    /// A part of a payload; none behind its end.
    package func bytes(
        of payload: Payload, from offset: Int, count: Int
    ) async throws(ManagementError) -> [UInt8] {
        switch payload {
        case .inline(let bytes): Array(bytes.dropFirst(offset).prefix(count))
        case .file(let digest, _):
            try await stored { store throws(ArtifactError) in try store.read(digest, from: offset, count: count) }
        }
    }
}
