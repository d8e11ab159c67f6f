package import Domain

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
    case badManifest(line: Int, reason: String)
    /// Files of a manifest that are not in the store: how many, and the first ten.
    case missingFiles(count: Int, first: [Digest])
    case badPath(path: String, PathFault)
    case unsupportedEntry(path: String, Kind)
    case tooManyFiles(limit: Int)
    case tooManyBytes(limit: Int)
    /// Not a zip, or one that cannot be read to its end; `entry` is where reading stopped.
    case corruptPackage(entry: String?, reason: String)
    case encryptedPackage(entry: String)
    /// The package or folder holds no file.
    case empty
    case diskFull(path: String)
    case io(path: String, operation: String, errno: Int32)
}
