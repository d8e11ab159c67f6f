internal import CArchive
package import Domain
internal import Glibc
internal import Synchronization

/// Immutable files addressed by their SHA-256, in a directory. Every call blocks; make none on the loop.
///
///     files/ab/abcd...     the bytes, mode 0444, under their own digest; manifests too
///     files/ab/abcd....x   the same bytes with mode 0555, where a tree has them as an executable
///     trees/abcd...        the folder of a manifest: read-only directories of hard links into `files`
///     damaged/abcd...      files whose bytes turned out to be others
///     partial/abcd...      the beginning of a large file whose upload was cut off, also by the host's end
///     tmp/                 what is being written; emptied at start
///
/// 1. A file gets its name in `files` by a hard link from `tmp`, after its bytes are on disk and hashed; the link never
///    replaces one that is there. So a name in `files` means a complete file, and its inode never changes.
/// 2. A manifest is stored after its files, a tree is renamed to its name after it is complete.
/// 3. The hash is checked again when a file is linked into a tree, and by `checkedTree`, once per file and process unless
///    the file looks changed since.
/// 4. Trees share the inodes of `files`, so all versions and workers share the pages of what they have in common.
/// 5. What nothing refers to is removed when it has not been used for a while: GarbageCollection.swift. The age of a file is
///    its time of modification, which `freshen` sets; that of its bytes stays known (ArtifactStore+Ages.swift).
/// 6. One process uses the directory at a time (`DataDirectoryLock`); any number of its threads.
package final class ArtifactStore: Sendable {
    package struct Limits: Equatable, Sendable {
        /// Of one file. Default 100 GB.
        package var fileBytesMax = 100_000_000_000
        /// Of a folder or manifest. Default 20,000 files and 100 GB.
        package var folder = Manifest.Limits()
        /// Entries of a zip, directories included. Default 20,000.
        package var packageFilesMax = 20_000
        /// Of a zip, unpacked. Default 2 GiB.
        package var packageBytesMax = 2 << 30
        package init() {}
    }

    package let directory: String
    package let limits: Limits
    private let nextTemporary = Atomic(0)
    /// Files whose bytes this process has checked or is checking, by their names, `.x` included. Its lock guards the ages
    /// and the removal of all files and trees, too.
    let verified = Mutex<[String: CheckedFile]>([:])
    /// When each of them began.
    let uses = Mutex<[Int: Int64]>([:])
    let nextUse = Atomic(0)
    let latestTime = Atomic<Int64>(0)
    let building = KeyedLock<Digest>()
    let copying = KeyedLock<Digest>()
    /// Files that are being written in `partial`.
    let uploading = Mutex<Set<Digest>>([])

    /// Makes `directory` when it is missing (its parent exists), and removes what a killed host left unfinished.
    package init(directory: String, limits: Limits = .init()) throws(ArtifactError) {
        self.directory = directory
        self.limits = limits
        for path in [directory, directory + "/files", directory + "/trees", directory + "/tmp", directory + "/partial"]
        {
            try makeDirectory(path)
        }
        let temporary = try openDirectory(directory + "/tmp")
        for name in try names(in: temporary.raw, directory) { removeTree(name, in: temporary.raw) }
        let trees = try openDirectory(directory + "/trees")
        for name in try names(in: trees.raw, directory) where name.starts(with: Self.newTreePrefix.utf8) {
            removeTree(name, in: trees.raw)
        }
        removeParts(unchangedFor: Self.partDaysMax * 86400)
        try syncDirectory(directory)
    }

    // MARK: - Files

    /// Whether there is a file now. Who relies on it asks `freshen`.
    package func contains(_ digest: Digest) -> Bool { size(of: digest) != nil }

    /// The stored file's size, `nil` when there is none.
    package func size(of digest: Digest) -> Int? {
        var status = stat()
        guard lstat(path(of: digest), &status) == 0 else { return nil }
        return Int(status.st_size)
    }

    /// Where the bytes of a stored file are. Read-only. The name exists once the file is stored.
    package func path(of digest: Digest) -> String { "\(directory)/files/\(digest.hex.prefix(2))/\(digest.hex)" }

    /// All bytes of a stored file of up to `bytesMax` (64 MiB), checked against its digest.
    package func read(_ digest: Digest, bytesMax: Int = 64 << 20) throws(ArtifactError) -> [UInt8] {
        let path = path(of: digest)
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard raw >= 0 || errno != ENOENT else { throw .notFound(digest) }
        let file = try Descriptor(raw, path)
        var bytes: [UInt8] = []
        try readAll(file.raw, path) { (piece) throws(ArtifactError) in
            guard bytes.count + piece.count <= bytesMax else { throw .fileTooLarge(limit: bytesMax) }
            bytes.append(contentsOf: piece)
        }
        guard SHA256Hasher.digest(of: bytes) == digest else { throw setAside(digest) }
        return bytes
    }

    /// Returns when the bytes are on disk.
    package func put(_ bytes: [UInt8]) throws(ArtifactError) -> Digest {
        let digest = SHA256Hasher.digest(of: bytes)
        let upload = try beginUpload(expecting: digest, sizeBytes: bytes.count)
        try upload.write(bytes)
        try upload.finish()
        return digest
    }

    /// - Parameters:
    ///   - sizeBytes: of the whole file, as announced; `nil` takes any size up to the limit.
    ///   - start: how many bytes of the file are there from an upload that was cut off, as `partSize` says; `sizeMismatch`
    ///     when they are not, and then they have to be sent again.
    package func beginUpload(
        expecting digest: Digest, sizeBytes: Int? = nil, start: Int = 0
    ) throws(ArtifactError) -> Upload {
        if let sizeBytes, sizeBytes > limits.fileBytesMax { throw .fileTooLarge(limit: limits.fileBytesMax) }
        if let sizeBytes, sizeBytes >= Self.partBytesMin, takePart(of: digest) {
            do throws(ArtifactError) {
                return Upload(
                    try stagePart(of: digest, start: start), to: self, expecting: digest, sizeBytes: sizeBytes,
                    isPartial: true)
            } catch {
                giveBackPart(of: digest)
                throw error
            }
        }
        guard start == 0 else { throw .sizeMismatch(expected: start, actual: 0) }
        return Upload(try stage(), to: self, expecting: digest, sizeBytes: sizeBytes, isPartial: false)
    }

    package func beginFile() throws(ArtifactError) -> NewFile { try NewFile(in: self) }

    /// Up to `count` bytes of a stored file from `offset` on, not checked against its digest; none behind its end.
    package func read(_ digest: Digest, from offset: Int, count: Int) throws(ArtifactError) -> [UInt8] {
        let path = path(of: digest)
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard raw >= 0 || errno != ENOENT else { throw .notFound(digest) }
        let file = try Descriptor(raw, path)
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let read = bytes.withUnsafeMutableBytes {
                pread(file.raw, $0.baseAddress! + filled, count - filled, off_t(offset + filled))
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw .system("read", path) }
            if read == 0 { break }
            filled += read
        }
        return Array(bytes.prefix(filled))
    }

    // MARK: - Manifests

    /// Stores a manifest all of whose files are stored; throws `missingFiles` otherwise.
    package func storeManifest(_ text: [UInt8]) throws(ArtifactError) -> Manifest {
        let manifest = try Manifest(text: text, limits: limits.folder)
        try requireFiles(of: manifest)
        _ = try put(text)
        return manifest
    }

    /// A stored manifest, however it came into the store; its files may be missing. It does not count as used.
    package func manifest(_ digest: Digest) throws(ArtifactError) -> Manifest {
        try Manifest(text: try read(digest), limits: limits.folder)
    }

    /// The files of a manifest that are not stored, each once, in the order of the manifest. Those that are count as used.
    package func missing(in manifest: Manifest) -> [Digest] {
        var seen: Set<Digest> = []
        return manifest.files.compactMap { file in
            seen.insert(file.digest).inserted && freshen(file.digest) == nil ? file.digest : nil
        }
    }

    /// Throws unless all files of a manifest are stored and as large as it says.
    package func requireFiles(of manifest: Manifest) throws(ArtifactError) {
        let missing = missing(in: manifest)
        guard missing.isEmpty else { throw .missingFiles(count: missing.count, first: Array(missing.prefix(10))) }
        for file in manifest.files {
            let actual = size(of: file.digest) ?? 0
            guard actual == file.sizeBytes else { throw .sizeMismatch(expected: file.sizeBytes, actual: actual) }
        }
    }

    // MARK: - Staging

    static let newTreePrefix = ".new-"

    func temporaryName() -> String { String(nextTemporary.add(1, ordering: .relaxed).newValue) }

    func stage(limit: Int? = nil) throws(ArtifactError) -> StagedFile {
        try StagedFile(
            path: "\(directory)/tmp/\(temporaryName())", limit: min(limit ?? .max, limits.fileBytesMax))
    }

    /// Gives finished files their lasting names, and returns when these are on disk. A name that exists stays.
    func adopt(_ files: [(StagedFile, Digest)]) throws(ArtifactError) {
        var folders: Set<Substring> = []
        for (staged, digest) in files {
            let folder = digest.hex.prefix(2)
            if folders.insert(folder).inserted { try makeDirectory("\(directory)/files/\(folder)") }
            try verified.withLock { (verified) throws(ArtifactError) in
                // Not as old as its writing, which may have taken long.
                setTime(of: staged.path)
                if link(staged.path, path(of: digest)) == 0 { return }
                guard errno == EEXIST else { throw .system("link", path(of: digest)) }
                _ = freshen(digest, &verified)
            }
        }
        // Also when nothing was new: the thread that made the name may not have come to this point yet.
        for folder in folders { try syncDirectory("\(directory)/files/\(folder)") }
        try syncDirectory(directory + "/files")
    }

    /// Stores the files of a folder or package, then its manifest.
    ///
    /// - Parameter files: finished without a flush.
    func store(_ files: [(StagedFile, Manifest.File)], limits: Manifest.Limits) throws(ArtifactError) -> Manifest {
        let manifest = try Manifest(files: files.map(\.1), limits: limits)
        // One flush of the file system instead of one per file: a package has hundreds of small ones.
        if !files.isEmpty {
            let temporary = try openDirectory(directory + "/tmp")
            try check(syncfs(temporary.raw), "syncfs", directory)
        }
        try adopt(files.map { ($0.0, $0.1.digest) })
        _ = try put(manifest.text)
        return manifest
    }

    /// Moves a damaged file away, so that it can be uploaded again.
    func setAside(_ digest: Digest, suffix: String = "") -> ArtifactError {
        mkdir(directory + "/damaged", 0o755)
        let path = path(of: digest) + suffix
        verified.withLock {
            // It is looked at later, if at all.
            setTime(of: path)
            rename(path, "\(directory)/damaged/\(digest.hex)\(suffix)")
            $0[digest.hex + suffix] = nil
        }
        return .damaged(digest)
    }
}
