package import Domain

/// A file on its way into the store whose digest nobody knows yet. One thread at a time. Dropped, it is gone.
package final class NewFile: @unchecked Sendable {  // used by one thread at a time, which the caller sees to
    private let store: ArtifactStore
    private let staged: StagedFile

    init(in store: ArtifactStore) throws(ArtifactError) {
        self.store = store
        staged = try store.stage()
    }

    package func write(_ bytes: [UInt8]) throws(ArtifactError) {
        try bytes.span.withUnsafeBytes { (buffer) throws(ArtifactError) in try staged.write(buffer) }
    }

    /// Returns when the file is on disk under its digest. Nothing is written after that.
    package func finish() throws(ArtifactError) -> (digest: Digest, sizeBytes: Int) {
        let digest = try staged.finish(isFlushed: true)
        try store.adopt([(staged, digest)])
        return (digest, staged.sizeBytes)
    }
}

/// A file on its way into the store. One thread at a time; end it with `finish` or `abort`.
///
/// The bytes of a file that is stored already are checked all the same.
package final class Upload: @unchecked Sendable {  // used by one thread at a time, which the caller sees to
    private let store: ArtifactStore
    private let expected: Digest
    private let sizeBytes: Int?
    private var staged: StagedFile?
    /// It has the store's one place for a part of this file, and gives it back at its end.
    private let isPartial: Bool

    init(
        _ staged: StagedFile, to store: ArtifactStore, expecting digest: Digest, sizeBytes: Int?, isPartial: Bool
    ) {
        self.isPartial = isPartial
        self.staged = staged
        self.store = store
        self.sizeBytes = sizeBytes
        expected = digest
    }

    /// Throws `fileTooLarge`, or `sizeMismatch` when more came than was announced; the upload is then over.
    ///
    /// - Precondition: neither finished nor aborted, and no call threw.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(ArtifactError) {
        guard let staged else { preconditionFailure("write to an upload that is over") }
        do throws(ArtifactError) {
            if let sizeBytes, staged.sizeBytes + bytes.count > sizeBytes {
                throw .sizeMismatch(expected: sizeBytes, actual: staged.sizeBytes + bytes.count)
            }
            try staged.write(bytes)
        } catch {
            end(isKept: false)
            throw error
        }
    }

    package func write(_ bytes: [UInt8]) throws(ArtifactError) {
        try bytes.span.withUnsafeBytes { (buffer) throws(ArtifactError) in try write(buffer) }
    }

    /// Returns when the file is on disk under its digest. Throws `digestMismatch` when the bytes are others.
    ///
    /// - Precondition: neither finished nor aborted, and no call threw.
    package func finish() throws(ArtifactError) {
        guard let staged else { preconditionFailure("finish of an upload that is over") }
        defer { end(isKept: false) }
        if let sizeBytes, staged.sizeBytes != sizeBytes {
            throw .sizeMismatch(expected: sizeBytes, actual: staged.sizeBytes)
        }
        let actual = try staged.finish(isFlushed: true)
        guard actual == expected else { throw .digestMismatch(expected: expected, actual: actual) }
        try store.adopt([(staged, actual)])
    }

    /// Gives up. What a large file has so far is kept, for an upload that goes on there. Harmless when the upload is over.
    package func abort() { end(isKept: isPartial) }

    private func end(isKept: Bool) {
        guard let last = staged else { return }
        last.isKept = isKept && last.sizeBytes > 0
        staged = nil
        if isPartial { store.giveBackPart(of: expected) }
    }
}
