/// A file on its way into the store. One thread at a time; end it with `finish` or `abort`.
package final class Upload: @unchecked Sendable {
    package func write(_ bytes: UnsafeRawBufferPointer) throws(ArtifactError) { fatalError() }
    package func write(_ bytes: [UInt8]) throws(ArtifactError) { fatalError() }
    /// Returns when the file is on disk under its digest.
    package func finish() throws(ArtifactError) { fatalError() }
    /// Forgets what was written. Harmless after `finish`.
    package func abort() { fatalError() }
}
