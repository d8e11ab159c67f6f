package import Domain
internal import Glibc
internal import Synchronization

extension ArtifactStore {
    /// The read-only directory with the files of a stored manifest, made at the first call. Directories and executables
    /// have mode 0555, other files 0444.
    ///
    /// Throws `damaged` when a file's bytes are no longer what they were; it can then be stored again.
    package func tree(_ manifest: Digest) throws(ArtifactError) -> String {
        let path = "\(directory)/trees/\(manifest.hex)"
        if freshenTree(at: path) { return path }
        return try building.withLock(manifest) { () throws(ArtifactError) in
            if !freshenTree(at: path) { try build(try self.manifest(manifest), at: path) }
            return path
        }
    }

    /// `tree`, with all of its files looked at: the bytes of those that this process has not checked yet, or that look
    /// changed since, are hashed.
    ///
    /// Throws `damagedFile` when one is not what the manifest says. The tree is then given up, though workers that have it
    /// keep it, and can be made again when the file was stored again.
    package func checkedTree(_ digest: Digest) throws(ArtifactError) -> String {
        let path = "\(directory)/trees/\(digest.hex)"
        return try building.withLock(digest) { () throws(ArtifactError) in
            let manifest = try self.manifest(digest)
            if !freshenTree(at: path) { try buildChecked(manifest, at: path) }
            let tree = try openDirectory(path)
            for file in manifest.files where try !isIntact(file, in: tree.raw) {
                // Removed with what a killed host left unfinished.
                try check(rename(path, "\(directory)/trees/\(Self.newTreePrefix)\(temporaryName())"), "rename", path)
                try syncDirectory(directory + "/trees")
                throw .damagedFile(path: file.path.displayText, file.digest)
            }
            return path
        }
    }

    private func buildChecked(_ manifest: Manifest, at path: String) throws(ArtifactError) {
        for file in manifest.files {
            let size = size(of: file.digest)
            if size == file.sizeBytes { continue }
            if size != nil { _ = setAside(file.digest) }
            throw .damagedFile(path: file.path.displayText, file.digest)
        }
        do throws(ArtifactError) {
            try build(manifest, at: path)
        } catch {
            guard case .damaged(let damaged) = error,
                let file = manifest.files.first(where: { $0.digest == damaged })
            else { throw error }
            throw .damagedFile(path: file.path.displayText, damaged)
        }
    }

    private func isIntact(_ file: Manifest.File, in tree: Int32) throws(ArtifactError) -> Bool {
        let suffix = file.isExecutable ? ".x" : ""
        let raw = (file.path + [0]).withCString { openat(tree, $0, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }
        guard raw >= 0 || errno != ENOENT else { return false }
        let opened = try Descriptor(raw, file.path.displayText)
        let inode: UInt64
        switch try hasBytes(of: file.digest, suffix, opened.raw, file.path.displayText) {
        case nil: return true
        case .some(let checked) where checked.isIntact: return true
        case .some(let checked): inode = checked.inode
        }
        // The stored file too, unless it was stored again since.
        if FileStamp(of: self.path(of: file.digest) + suffix)?.inode == inode {
            _ = setAside(file.digest, suffix: suffix)
        }
        return false
    }

    /// Hashes an open file, unless this process has checked it and it looks as it did then.
    ///
    /// While it is hashed, and afterwards, a `freshen` takes what is known of it along.
    ///
    /// - Returns: `nil` when it is checked already.
    private func hasBytes(
        of digest: Digest, _ suffix: String, _ file: Int32, _ path: @autoclosure () -> String
    ) throws(ArtifactError) -> (isIntact: Bool, inode: UInt64)? {
        let name = digest.hex + suffix
        var status = stat()
        let stamp = try verified.withLock { (verified) throws(ArtifactError) -> FileStamp? in
            // In the lock, so that the time is not set in between.
            try check(fstat(file, &status), "stat", path())
            let stamp = FileStamp(status)
            if let known = verified[name], known.isDone, known.stamp == stamp { return nil }
            verified[name] = CheckedFile(stamp: stamp)
            return stamp
        }
        guard let stamp else { return nil }
        var hasher = SHA256Hasher()
        try readAll(file, path()) { (piece) throws(ArtifactError) in hasher.update(piece) }
        let isIntact = hasher.digest() == digest
        verified.withLock {
            // Another thread may have begun with a file that was stored again since.
            guard $0[name]?.stamp.inode == stamp.inode else { return }
            if isIntact { $0[name]?.isDone = true } else { $0[name] = nil }
        }
        return (isIntact, stamp.inode)
    }

    private func isVerified(_ path: String, _ name: String) -> Bool {
        verified.withLock { verified in
            guard let known = verified[name], known.isDone else { return false }
            return FileStamp(of: path) == known.stamp
        }
    }

    private func build(_ manifest: Manifest, at path: String) throws(ArtifactError) {
        try requireFiles(of: manifest)
        // Beside its last place: renaming within a directory needs no right to write the renamed one, which has none.
        let name = Self.newTreePrefix + temporaryName()
        let temporary = "\(directory)/trees/\(name)"
        let trees = try openDirectory(directory + "/trees")
        try makeDirectory(temporary)
        do throws(ArtifactError) {
            try fill(temporary, manifest)
            setTime(of: temporary)
            try check(rename(temporary, path), "rename", path)
        } catch {
            removeTree(Array(name.utf8) + [0], in: trees.raw)
            throw error
        }
        try check(fsync(trees.raw), "fsync", directory)
    }

    private func fill(_ root: String, _ manifest: Manifest) throws(ArtifactError) {
        let tree = try openDirectory(root)
        var folders: [[UInt8]] = []
        // An empty file can be in more places than its inode may have names (65,000 on ext4); this tree then has one of
        // its own.
        var copies: [String: [UInt8]] = [:]
        var seen: Set<[UInt8]> = []
        for file in manifest.files {
            for index in file.path.indices where file.path[index] == UInt8(ascii: "/") {
                let folder = Array(file.path[..<index]) + [0]
                guard seen.insert(folder).inserted else { continue }
                try check(folder.withCString { mkdirat(tree.raw, $0, 0o755) }, "mkdir", root)
                folders.append(folder)
            }
            let source = try verifiedPath(of: file)
            let target = file.path + [0]
            if let copy = copies[source] {
                let status = copy.withCString { from in target.withCString { linkat(tree.raw, from, tree.raw, $0, 0) } }
                try check(status, "link", root)
            } else if target.withCString({ linkat(AT_FDCWD, source, tree.raw, $0, 0) }) != 0 {
                guard errno == EMLINK else { throw .system("link", root + "/" + file.path.displayText) }
                try copy(source, to: target, in: tree.raw, mode: file.isExecutable ? 0o555 : 0o444)
                copies[source] = target
            }
        }
        for folder in folders.reversed() {
            let raw = folder.withCString { openat(tree.raw, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
            let directory = try Descriptor(raw, root)
            try check(fchmod(directory.raw, 0o555), "fchmod", root)
            try check(fsync(directory.raw), "fsync", root)
        }
        try check(fchmod(tree.raw, 0o555), "fchmod", root)
        try check(fsync(tree.raw), "fsync", root)
    }

    /// The stored file with the mode of `file`, its bytes checked in this process since it was last changed.
    private func verifiedPath(of file: Manifest.File) throws(ArtifactError) -> String {
        let suffix = file.isExecutable ? ".x" : ""
        let path = path(of: file.digest) + suffix
        if isVerified(path, file.digest.hex + suffix) { return path }
        try copying.withLock(file.digest) { () throws(ArtifactError) in
            if file.isExecutable, access(path, F_OK) != 0 { try makeExecutable(file.digest) }
            let source = try Descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), path)
            let checked = try hasBytes(of: file.digest, suffix, source.raw, path)
            guard checked?.isIntact ?? true else { throw setAside(file.digest, suffix: suffix) }
        }
        return path
    }

    /// Copies a stored file to a second inode with the executable mode, checking its bytes on the way.
    private func makeExecutable(_ digest: Digest) throws(ArtifactError) {
        let path = path(of: digest)
        let source = try Descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), path)
        let staged = try stage()
        try readAll(source.raw, path) { (piece) throws(ArtifactError) in try staged.write(piece) }
        guard try staged.finish(isFlushed: true, mode: 0o555) == digest else { throw setAside(digest) }
        if link(staged.path, path + ".x") != 0, errno != EEXIST { throw .system("link", path) }
        try syncDirectory("\(directory)/files/\(digest.hex.prefix(2))")
    }

    private func copy(
        _ source: String, to target: [UInt8], in tree: Int32, mode: mode_t
    ) throws(ArtifactError) {
        let input = try Descriptor(open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), source)
        let raw = target.withCString { openat(tree, $0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        let output = try Descriptor(raw, target.displayText)
        try readAll(input.raw, source) { (piece) throws(ArtifactError) in
            try writeAll(piece, to: output.raw, target.displayText)
        }
        try check(fchmod(output.raw, mode), "fchmod", target.displayText)
        try check(fsync(output.raw), "fsync", target.displayText)
    }
}
