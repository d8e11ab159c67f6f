package import Domain
internal import Glibc

/// Why the store refused or failed. Nothing of what was refused becomes visible in the store.
package enum ArtifactError: Error, Equatable, Sendable {
    /// What is wrong with a path in a manifest, folder or zip.
    package enum PathFault: String, Equatable, Sendable {
        case empty = "is empty"
        case absolute = "is absolute"
        case dotComponent = "has a component '.' or '..'"
        case emptyComponent = "has an empty component"
        case tooLong = "is longer than allowed"
        case tooDeep = "is nested too deep"
        case nulByte = "has a NUL byte"
        case duplicate = "occurs twice"
        case fileAndDirectory = "is both a file and a directory"
    }

    /// What a folder or package may not hold.
    package enum Kind: String, Equatable, Sendable {
        case symbolicLink = "a symbolic link"
        case hardLink = "a hard link"
        case special = "a device, pipe or socket"
    }

    /// The bytes received are not those that were announced.
    case digestMismatch(expected: Digest, actual: Digest)
    case sizeMismatch(expected: Int, actual: Int)
    case fileTooLarge(limit: Int)
    /// The store has no file with this digest.
    case notFound(Digest)
    /// The stored bytes are no longer those that were stored.
    case damaged(Digest)
    /// A file of a tree, by its path there, is gone or no longer what was stored. It can be stored again.
    case damagedFile(path: String, Digest)
    case badManifest(line: Int, reason: String)
    /// Which files something refers to is not known, so no garbage is removed.
    case unreadableRoot(name: String, reason: String)
    /// Files of a manifest that are not in the store: how many, and the first ten.
    case missingFiles(count: Int, first: [Digest])
    case badPath(path: String, PathFault)
    case unsupportedEntry(path: String, Kind)
    case tooManyFiles(limit: Int)
    case tooManyBytes(limit: Int)
    /// Not a zip, or one that cannot be read to its end; `entry` is the last one begun.
    case corruptPackage(entry: String?, reason: String)
    case encryptedPackage(entry: String)
    /// The zip holds no file.
    case empty
    case diskFull(path: String)
    case io(path: String, operation: String, errno: Int32)
}

extension ArtifactError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .digestMismatch(let expected, let actual): "the bytes have the digest \(actual), not \(expected)"
        case .sizeMismatch(let expected, let actual): "the file has \(actual) bytes, not \(expected)"
        case .fileTooLarge(let limit): "the file is larger than \(limit) bytes"
        case .notFound(let digest): "there is no artifact \(digest)"
        case .damaged(let digest): "the stored bytes of artifact \(digest) are damaged; upload it again"
        case .damagedFile(let path, let digest):
            "the file '\(path)' is no longer what was stored as \(digest); upload it again"
        case .badManifest(let line, let reason): "line \(line) of the manifest \(reason)"
        case .unreadableRoot(let name, let reason):
            "nothing was removed, because the files of \(name) are not known: \(reason)"
        case .missingFiles(let count, let first):
            "\(count) files of the manifest are not stored: " + first.map(\.description).joined(separator: ", ")
                + (count > first.count ? ", ..." : "")
        case .badPath(let path, let fault): "the path '\(path)' \(fault.rawValue)"
        case .unsupportedEntry(let path, let kind):
            "'\(path)' is \(kind.rawValue), which a folder or package cannot hold"
        case .tooManyFiles(let limit): "there are more than \(limit) files"
        case .tooManyBytes(let limit): "the files have more than \(limit) bytes together"
        case .corruptPackage(let entry, let reason):
            "the zip cannot be read" + (entry.map { " at '\($0)'" } ?? "") + ": \(reason)"
        case .encryptedPackage(let entry): "'\(entry)' in the zip is encrypted"
        case .empty: "the zip holds no file"
        case .diskFull(let path): "the disk is full: \(path)"
        case .io(let path, let operation, let code): "\(operation) \(path): \(String(cString: strerror(code)))"
        }
    }
}
