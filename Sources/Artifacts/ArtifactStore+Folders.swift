package import Domain
internal import Glibc

extension ArtifactStore {
    package struct StoredFolder: Equatable, Sendable {
        package var manifest: Digest
        package var filesCount: Int
        package var sizeBytes: Int
    }

    /// Copies the files of a folder on this machine into the store: regular files by content and executable bit, and
    /// the directories on the way to them. Links, devices, pipes and sockets are refused.
    ///
    /// No link is followed below `path`. A file that is written meanwhile is stored as it was read.
    ///
    /// - Parameter bytesMax: of all files together; the store's own limit holds too.
    package func storeFolder(at path: String, bytesMax: Int = .max) throws(ArtifactError) -> StoredFolder {
        let root = try openDirectory(path)
        var files: [(StagedFile, Manifest.File)] = []
        let limit = min(bytesMax, limits.folder.bytesMax)
        var bytesLeft = limit
        try collect(root.raw, prefix: [], into: &files, bytesLeft: &bytesLeft, limit)
        let manifest = try store(files, limits: limits.folder)
        return StoredFolder(
            manifest: manifest.digest, filesCount: manifest.files.count, sizeBytes: manifest.sizeBytes)
    }

    private func collect(
        _ directory: Int32, prefix: [UInt8], into files: inout [(StagedFile, Manifest.File)], bytesLeft: inout Int,
        _ limit: Int
    ) throws(ArtifactError) {
        for name in try names(in: directory, prefix.displayText) {
            let path = prefix + name.dropLast()
            try Manifest.check(path: path)
            var status = stat()
            let result = name.withCString { fstatat(directory, $0, &status, AT_SYMLINK_NOFOLLOW) }
            try check(result, "stat", path.displayText)
            // The type may change before the file is opened, so O_NOFOLLOW and a second look guard what is read.
            switch status.st_mode & S_IFMT {
            case S_IFDIR:
                let raw = name.withCString { openat(directory, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
                let child = try Descriptor(raw, path.displayText)
                try collect(child.raw, prefix: path + [UInt8(ascii: "/")], into: &files, bytesLeft: &bytesLeft, limit)
            case S_IFREG:
                guard files.count < limits.folder.filesMax else { throw .tooManyFiles(limit: limits.folder.filesMax) }
                files.append(try copyIn(name, in: directory, path: path, bytesLeft: &bytesLeft, limit))
            case S_IFLNK: throw .unsupportedEntry(path: path.displayText, .symbolicLink)
            default: throw .unsupportedEntry(path: path.displayText, .special)
            }
        }
    }

    private func copyIn(
        _ name: [UInt8], in directory: Int32, path: [UInt8], bytesLeft: inout Int, _ limit: Int
    ) throws(ArtifactError) -> (StagedFile, Manifest.File) {
        let raw = name.withCString { openat(directory, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) }
        let source = try Descriptor(raw, path.displayText)
        var status = stat()
        try check(fstat(source.raw, &status), "stat", path.displayText)
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unsupportedEntry(path: path.displayText, .special) }
        // Before it is copied for nothing; it may grow meanwhile.
        guard Int(status.st_size) <= bytesLeft else { throw .tooManyBytes(limit: limit) }
        let staged = try stage()
        var left = bytesLeft
        try readAll(source.raw, path.displayText) { (piece) throws(ArtifactError) in
            guard piece.count <= left else { throw .tooManyBytes(limit: limit) }
            left -= piece.count
            try staged.write(piece)
        }
        bytesLeft = left
        let digest = try staged.finish(isFlushed: false)
        let file = Manifest.File(
            path: path, isExecutable: status.st_mode & 0o100 != 0, sizeBytes: staged.sizeBytes, digest: digest)
        return (staged, file)
    }
}
