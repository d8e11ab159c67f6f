internal import Domain
internal import Glibc

/// A file being written under a temporary name. Dropped, it is gone unless `isKept`; the store gives it its lasting name.
final class StagedFile {
    let path: String
    private(set) var sizeBytes = 0
    private let limit: Int
    private var hasher = SHA256Hasher()
    private var descriptor: Int32
    /// What was written stays under its name.
    var isKept = false

    /// - Parameter path: where nothing is yet.
    init(path: String, limit: Int) throws(ArtifactError) {
        self.path = path
        self.limit = limit
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system("open", path) }
    }

    /// Goes on with a file of which the first `start` bytes are taken; they are read for the digest.
    init(resuming path: String, at start: Int, limit: Int) throws(ArtifactError) {
        self.path = path
        self.limit = limit
        descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .system("open", path) }
        var status = stat()
        try check(fstat(descriptor, &status), "stat", path)
        guard Int(status.st_size) >= start else { throw .sizeMismatch(expected: start, actual: Int(status.st_size)) }
        try check(ftruncate(descriptor, off_t(start)), "truncate", path)
        // In a variable of its own: the closure may not use `self` before the file is whole.
        var hasher = SHA256Hasher()
        try readAll(descriptor, path) { (piece) throws(ArtifactError) in hasher.update(piece) }
        self.hasher = hasher
        sizeBytes = start
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isKept { unlink(path) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ArtifactError) {
        guard bytes.count <= limit - sizeBytes else { throw .fileTooLarge(limit: limit) }
        hasher.update(bytes)
        try writeAll(bytes, to: descriptor, path)
        sizeBytes += bytes.count
    }

    /// Makes it read-only and closes it.
    ///
    /// - Parameter isFlushed: whether its bytes have to be on disk when this returns.
    func finish(isFlushed: Bool, mode: mode_t = 0o444) throws(ArtifactError) -> Digest {
        try check(fchmod(descriptor, mode), "fchmod", path)
        if isFlushed { try check(fsync(descriptor), "fsync", path) }
        try check(close(descriptor), "close", path)
        descriptor = -1
        return hasher.digest()
    }
}
