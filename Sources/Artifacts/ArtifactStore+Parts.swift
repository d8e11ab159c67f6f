package import Domain
internal import Glibc
internal import Synchronization

/// Uploads of large files are written to a name of their own, so that one that was cut off can go on.
///
/// One upload at a time has it; others of the same file are written elsewhere and start over when they are cut off. What is
/// there is believed to be the beginning of the file until its end is: the digest then tells, and a wrong one is dropped.
extension ArtifactStore {
    /// Smaller files are sent again.
    package static let partBytesMin = 1 << 20
    /// Of more, those that were not written to for the longest are dropped.
    static let partsMax = 16
    /// Older ones are dropped when the host starts.
    static let partDaysMax = 7

    /// How much of a file is there of an upload that was cut off; `nil` when nothing is, or somebody is sending it.
    package func partSize(of digest: Digest) -> Int? {
        guard !uploading.withLock({ $0.contains(digest) }) else { return nil }
        var status = stat()
        guard lstat(partPath(of: digest), &status) == 0, status.st_size > 0 else { return nil }
        return Int(status.st_size)
    }

    private func partPath(of digest: Digest) -> String { "\(directory)/partial/\(digest.hex)" }

    func takePart(of digest: Digest) -> Bool { uploading.withLock { $0.insert(digest).inserted } }

    func giveBackPart(of digest: Digest) { uploading.withLock { _ = $0.remove(digest) } }

    func stagePart(of digest: Digest, start: Int) throws(ArtifactError) -> StagedFile {
        let path = partPath(of: digest)
        if start > 0 {
            guard access(path, F_OK) == 0 else { throw .sizeMismatch(expected: start, actual: 0) }
            return try StagedFile(resuming: path, at: start, limit: limits.fileBytesMax)
        }
        unlink(path)
        removeParts(countMax: Self.partsMax - 1)
        return try StagedFile(path: path, limit: limits.fileBytesMax)
    }

    /// Removes what is too old or too much, but nothing that is being written.
    func removeParts(unchangedFor seconds: Int = .max, countMax: Int = .max) {
        guard let folder = try? openDirectory(directory + "/partial") else { return }
        let busy = uploading.withLock { $0 }
        var parts: [(name: [UInt8], changedAt: Int)] = []
        for name in (try? names(in: folder.raw, directory)) ?? [] {
            if let digest = Digest(name.displayText), busy.contains(digest) { continue }
            var status = stat()
            guard name.withCString({ fstatat(folder.raw, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 else { continue }
            parts.append((name, Int(status.st_mtim.tv_sec)))
        }
        parts.sort { $0.changedAt > $1.changedAt }
        let now = Int(time(nil))
        for (index, part) in parts.enumerated() where index >= countMax || now - part.changedAt > seconds {
            removeTree(part.name, in: folder.raw)
        }
    }
}
