/// The bytes of an event or an answer: with the execution itself, or, where they are many, as a file of the artifact store.
package enum Payload: Equatable, Sendable {
    case inline([UInt8])
    case file(Digest, sizeBytes: Int)

    package var sizeBytes: Int {
        switch self {
        case .inline(let bytes): bytes.count
        case .file(_, let sizeBytes): sizeBytes
        }
    }

    /// `nil` when they have to be read first.
    package var bytes: [UInt8]? {
        if case .inline(let bytes) = self { return bytes }
        return nil
    }
}
