package import Domain
internal import Glibc
internal import Synchronization

/// Removes what nothing refers to. Mark: the roots, which the caller names, with all of their files, and files that are
/// referred to by themselves. Sweep: the rest, as far as it was not used for a grace time. Every call of `step` blocks; one thread at a time.
///
/// 1. The time before which something is old is taken when the collection begins, and is not after the beginning of any use
///    that goes on (`beginUse`). The roots are read after that. So what becomes a root later was stored or freshened later
///    than that time, and is young.
/// 2. A root whose manifest cannot be read ends the collection before anything is removed.
/// 3. A name is taken away under the lock under which files are freshened, after another look at the age: so of a
///    collection and somebody who finds the file there, one comes first and the other knows. With it goes what is known of
///    its bytes (`verified`).
/// 4. Names are taken away by renaming, files to `tmp`, trees to `.new-...`, which are emptied when a host starts. So a name
///    in `files` is a complete file and a tree is complete, also when the host is killed at any point.
/// 5. Trees go before files. A worker has its tree by its path, so trees of workers have to be among the roots.
/// 6. A twin `.x` is as young as the file that it is made of.
package final class GarbageCollection: @unchecked Sendable {  // used by one thread at a time, which the caller sees to
    package struct Root: Sendable {
        /// For the message when it cannot be read.
        package var name: String
        package var manifest: Digest

        package init(name: String, manifest: Digest) {
            self.name = name
            self.manifest = manifest
        }
    }

    /// Of names in `files` and `damaged`; a tree has no bytes of its own.
    package struct Count: Equatable, Sendable {
        /// What roots refer to.
        package var keptFiles = 0
        package var keptBytes = 0
        /// What nothing refers to, and was used within the grace time.
        package var youngFiles = 0
        package var youngBytes = 0
        /// On a dry run: what would have been removed.
        package var removedFiles = 0
        package var removedBytes = 0
        package var removedTrees = 0

        package init() {}
    }

    /// The first half of a digest, in binary: a set of them takes a quarter of the memory, and one that is met by chance
    /// keeps a file too many.
    private struct Mark: Hashable {
        var high: UInt64
        var low: UInt64

        init?(_ hex: some Sequence<UInt8>) {
            var values: (high: UInt64, low: UInt64) = (0, 0)
            var count = 0
            for byte in hex {
                let digit: UInt64
                switch byte {
                case 0x30...0x39: digit = UInt64(byte) - 0x30
                case 0x61...0x66: digit = UInt64(byte) - 0x61 + 10
                default: return nil
                }
                if count < 16 {
                    values.high = values.high << 4 | digit
                } else if count < 32 {
                    values.low = values.low << 4 | digit
                }
                count += 1
            }
            guard count == 64 else { return nil }
            (high, low) = values
        }
    }

    private enum Place: Equatable {
        case files(String), trees, damaged
    }

    /// How long a step goes on before it lets others have the thread.
    private static let stepNanoseconds: UInt64 = 50_000_000

    private let store: ArtifactStore
    private let isDryRun: Bool
    /// In nanoseconds since 1970. What was used before this is old.
    private let oldBefore: Int64
    private var roots: [Root] = []
    private var readRoots: Set<Digest> = []
    private var marks: Set<Mark> = []
    /// In the order of the sweep, the next one last; `nil` before the roots are marked.
    private var places: [Place]?
    /// The rest of the names in `place`.
    private var names: [[UInt8]] = []
    private var place = Place.trees
    package private(set) var count = Count()

    init(_ store: ArtifactStore, oldBefore: Int64, isDryRun: Bool) {
        self.store = store
        self.oldBefore = oldBefore
        self.isDryRun = isDryRun
    }

    /// To be called before the first step, with what was read after the collection began.
    package func add(_ roots: [Root]) { self.roots += roots }

    /// Files that are no manifests. To be called before the first step, too.
    package func add(files: [Digest]) { files.forEach(mark) }

    /// Goes on for a twentieth of a second.
    ///
    /// - Returns: whether there is more to do.
    /// - Throws: `unreadableRoot`; what the disk says. The collection is then over.
    package func step() throws(ArtifactError) -> Bool {
        let start = monotonicNanoseconds()
        repeat {
            guard try advance() else { return false }
        } while monotonicNanoseconds() - start < Self.stepNanoseconds
        return true
    }

    private func advance() throws(ArtifactError) -> Bool {
        if let root = roots.popLast() {
            try mark(root)
            return true
        }
        if places == nil { try findPlaces() }
        if let name = names.popLast() {
            try sweep(name)
            return true
        }
        guard let next = places?.popLast() else { return false }
        place = next
        let path = path(of: next)
        names = access(path, F_OK) == 0 ? try Self.names(in: path) : []
        return true
    }

    // MARK: - Mark

    private func mark(_ root: Root) throws(ArtifactError) {
        guard readRoots.insert(root.manifest).inserted else { return }
        let manifest: Manifest
        do throws(ArtifactError) {
            manifest = try store.manifest(root.manifest)
        } catch {
            throw .unreadableRoot(name: root.name, reason: error.description)
        }
        mark(root.manifest)
        for file in manifest.files { mark(file.digest) }
    }

    private func mark(_ digest: Digest) {
        if let mark = Mark(digest.hex.utf8) { marks.insert(mark) }
    }

    // MARK: - Sweep

    private func findPlaces() throws(ArtifactError) {
        let files = store.directory + "/files"
        var found: [Place] = [.damaged]
        for name in try Self.names(in: files) where name.count == 3 {
            found.append(.files(name.displayText))
        }
        places = found + [.trees]
    }

    private static func names(in path: String) throws(ArtifactError) -> [[UInt8]] {
        let directory = try openDirectory(path)
        return try Artifacts.names(in: directory.raw, path)
    }

    private func path(of place: Place) -> String {
        switch place {
        case .files(let folder): "\(store.directory)/files/\(folder)"
        case .trees: store.directory + "/trees"
        case .damaged: store.directory + "/damaged"
        }
    }

    private func sweep(_ name: [UInt8]) throws(ArtifactError) {
        let path = "\(path(of: place))/\(name.displayText)"
        let hex = name.prefix(64)
        let mark = Mark(hex)
        switch place {
        case .trees:
            guard name.count == 65, let mark, !marks.contains(mark) else { return }
            if try removeTree(path) { count.removedTrees += 1 }
        case .files:
            let isTwin = name.dropFirst(64).elementsEqual([UInt8](".x\0".utf8))
            // What is no file of the store's is none of ours.
            guard isTwin || name.count == 65, let mark else { return }
            if marks.contains(mark) {
                guard let stamp = FileStamp(of: path) else { return }
                count.keptFiles += 1
                count.keptBytes += stamp.sizeBytes
            } else {
                try removeFile(
                    path, of: isTwin ? String(path.dropLast(2)) : nil, String(decoding: name.dropLast(), as: UTF8.self))
            }
        case .damaged:
            try removeFile(path, of: nil, nil)
        }
    }

    /// - Parameters:
    ///   - base: the file that a twin is made of.
    ///   - known: its name in `verified`.
    private func removeFile(_ path: String, of base: String?, _ known: String?) throws(ArtifactError) {
        let temporary = "\(store.directory)/tmp/\(store.temporaryName())"
        let isRemoved = try store.verified.withLock { (verified) throws(ArtifactError) -> Bool in
            guard let status = status(path), status.st_mode & S_IFMT == S_IFREG else { return false }
            let size = Int(status.st_size)
            guard isOld(status), base.flatMap(self.status).map(isOld) ?? true else {
                count.youngFiles += 1
                count.youngBytes += size
                return false
            }
            count.removedFiles += 1
            count.removedBytes += size
            if isDryRun { return false }
            try check(rename(path, temporary), "rename", path)
            if let known { verified[known] = nil }
            return true
        }
        // Outside of the lock: giving back the blocks of a large file takes a while.
        guard isRemoved else { return }
        FaultPoint.fileTakenAway.pass()
        try check(unlink(temporary), "unlink", temporary)
    }

    private func removeTree(_ path: String) throws(ArtifactError) -> Bool {
        let name = ArtifactStore.newTreePrefix + store.temporaryName()
        let trees = try openDirectory(store.directory + "/trees")
        let isGarbage = try store.verified.withLock { (_) throws(ArtifactError) -> Bool in
            guard let status = status(path), status.st_mode & S_IFMT == S_IFDIR, isOld(status) else { return false }
            if !isDryRun { try check(rename(path, "\(store.directory)/trees/\(name)"), "rename", path) }
            return true
        }
        guard isGarbage, !isDryRun else { return isGarbage }
        FaultPoint.treeTakenAway.pass()
        Artifacts.removeTree([UInt8](name.utf8) + [0], in: trees.raw)
        return true
    }

    private func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    private func isOld(_ status: stat) -> Bool { status.canFreshen && status.modifiedAt < oldBefore }
}

extension ArtifactStore {
    /// Begins a collection: from here on what is stored or freshened is not removed by it. Does not block.
    ///
    /// - Parameter grace: what was used within this time is kept, too; zero keeps only what is being used (`beginUse`).
    package func beginCollection(grace: Interval, isDryRun: Bool) -> GarbageCollection {
        // In this order: a use that begins in between is younger than `now`.
        let now = now()
        return GarbageCollection(self, oldBefore: min(now - grace.nanoseconds, oldestUse ?? now), isDryRun: isDryRun)
    }
}

/// Monotonic.
private func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
