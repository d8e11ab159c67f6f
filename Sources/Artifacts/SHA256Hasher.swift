internal import Crypto
package import struct Domain.Digest

/// SHA-256 over bytes that arrive piece by piece.
package struct SHA256Hasher: Sendable {
    private var state = SHA256()

    package init() {}

    package mutating func update(_ bytes: UnsafeRawBufferPointer) { state.update(bufferPointer: bytes) }

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { state.update(bufferPointer: $0) } }

    /// The digest of all bytes so far; more may follow.
    package func digest() -> Digest { Digest(bytes: Array(state.finalize())) }

    package static func digest(of bytes: [UInt8]) -> Digest {
        var hasher = SHA256Hasher()
        hasher.update(bytes)
        return hasher.digest()
    }
}
