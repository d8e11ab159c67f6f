package import Domain
internal import Glibc
internal import Synchronization

/// When something was last used: the time of modification of a file in `files`, of a directory in `trees`.
///
/// Whoever says that a file is there, or relies on it, makes it young first, under the lock of `verified`; and under that
/// lock a collection looks at the age again and takes the name away. So what was just found is not removed in the next
/// instant, and what was removed is not found.
extension ArtifactStore {
    /// Says that a file is used now.
    ///
    /// - Returns: its size; `nil` when it is not there.
    package func freshen(_ digest: Digest) -> Int? { verified.withLock { freshen(digest, &$0) } }

    func freshen(_ digest: Digest, _ verified: inout [String: CheckedFile]) -> Int? {
        let path = path(of: digest)
        guard let before = FileStamp(of: path) else { return nil }
        setTime(of: path)
        // The bytes are as they were. Of a change of the same instant the stamp would say nothing, as of one before the
        // file was checked; workers cannot make one, since they have no right to write.
        if verified[digest.hex]?.stamp == before, let after = FileStamp(of: path), after.sizeBytes == before.sizeBytes {
            verified[digest.hex]?.stamp = after
        }
        return before.sizeBytes
    }

    /// Says that a tree is used now.
    ///
    /// - Returns: whether it is there.
    func freshenTree(at path: String) -> Bool {
        verified.withLock { _ in
            var status = stat()
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return false }
            setTime(of: path)
            return true
        }
    }

    /// What belongs to another user keeps its time; a collection leaves it alone (`canFreshen`).
    func setTime(of path: String) {
        let now = now()
        let times = [
            timespec(tv_sec: 0, tv_nsec: utimeOmit),
            timespec(tv_sec: Int(now / 1_000_000_000), tv_nsec: Int(now % 1_000_000_000)),
        ]
        utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW)
    }

    /// Civil time in nanoseconds since 1970, which does not go back here: what is freshened after a collection or a use has
    /// begun is never older than that.
    func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return latestTime.max(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec), ordering: .relaxed).newValue
    }

    /// Begins a time in which the caller stores files or finds them there, and at the end of which something refers to them.
    /// What was stored or freshened since the beginning is not removed, however short the grace.
    package func beginUse() -> ArtifactUse {
        let id = nextUse.add(1, ordering: .relaxed).newValue
        uses.withLock { $0[id] = now() }
        return ArtifactUse(self, id)
    }

    /// When the oldest of the uses that go on began.
    var oldestUse: Int64? { uses.withLock { $0.values.min() } }
}

/// Between the moment in which artifacts are stored or found there and the one in which a commit refers to them. End it
/// after that.
package final class ArtifactUse: Sendable {
    private let store: ArtifactStore
    private let id: Int

    init(_ store: ArtifactStore, _ id: Int) {
        self.store = store
        self.id = id
    }

    deinit { end() }

    /// Idempotent.
    package func end() { store.uses.withLock { $0[id] = nil } }
}

/// A file whose bytes are checked, or are being checked.
struct CheckedFile {
    var stamp: FileStamp
    var isDone = false
}

extension stat {
    /// In nanoseconds since 1970.
    var modifiedAt: Int64 { Int64(st_mtim.tv_sec) * 1_000_000_000 + Int64(st_mtim.tv_nsec) }

    /// Whether `setTime` works on it.
    var canFreshen: Bool {
        let user = geteuid()
        return user == 0 || user == st_uid
    }
}

/// `UTIME_OMIT` of <sys/stat.h>, which is a macro.
private let utimeOmit = (1 << 30) - 2
