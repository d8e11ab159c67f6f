import Domain
import Foundation
import Synchronization
import Testing

@testable import Artifacts

/// What the threads of a race share.
private final class Race: Sendable {
    let isOver = Atomic(false)
    let removed = Atomic(0)
}

/// A thread of its own: tasks get no more of them than there are processors.
private func onThread(_ body: @Sendable @escaping () -> [String]) async -> [String] {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: body()) }
    }
}

@Suite struct GarbageTests {
    let directory = TemporaryDirectory()
    var root: String { directory.path + "/artifacts" }

    /// Stores a folder of files, all of which have this content.
    func folder(_ store: ArtifactStore, _ content: String, _ paths: [String]) throws -> Digest {
        let digest = try store.put(bytes(content))
        let files = paths.map {
            Manifest.File(
                path: bytes($0), isExecutable: $0 == "run", sizeBytes: content.utf8.count, digest: digest)
        }
        return try store.storeManifest(try Manifest(files: files).text).digest
    }

    @discardableResult
    func collect(
        _ store: ArtifactStore, _ roots: [Digest], grace: Interval = .zero, isDryRun: Bool = false
    ) throws -> GarbageCollection.Count {
        let collection = store.beginCollection(grace: grace, isDryRun: isDryRun)
        return try finish(collection, roots)
    }

    @discardableResult
    func finish(_ collection: GarbageCollection, _ roots: [Digest]) throws -> GarbageCollection.Count {
        collection.add(roots.map { .init(name: "a root", manifest: $0) })
        while try collection.step() {}
        return collection.count
    }

    /// Makes all that is stored an hour old.
    func age() throws {
        try python(
            """
            import os, sys, time
            for folder, folders, files in os.walk(sys.argv[1]):
                for name in folders + files:
                    os.utime(os.path.join(folder, name), (time.time() - 3600,) * 2)
            """, [root])
    }

    func stored() throws -> [String] {
        try entries(root + "/files").filter { $0.count == 2 }.flatMap { folder in try entries(root + "/files/" + folder)
        }.sorted()
    }

    @Test("what a root has is kept, with executable twins and trees; all else is removed, and can be stored again")
    func sweep() throws {
        let store = try ArtifactStore(directory: root)
        let kept = try folder(store, "kept", ["a/b", "run"])
        let gone = try folder(store, "gone", ["c", "run"])
        // A file of both, and one of none.
        let both = try folder(store, "kept", ["x"])
        let single = try store.put(bytes("single"))
        for manifest in [kept, gone, both] { _ = try store.tree(manifest) }
        let before = try stored()

        let dry = try collect(store, [kept], isDryRun: true)
        #expect(try stored() == before)
        #expect(try entries(root + "/trees").count == 3)
        let count = try collect(store, [kept])
        #expect(count == dry)
        // Manifest, file, twin; manifest, file, twin, manifest, file.
        #expect((count.keptFiles, count.removedFiles, count.youngFiles) == (3, 5, 0))
        #expect(count.removedTrees == 2)
        #expect(count.keptBytes == 4 + 4 + (try store.read(kept).count))
        #expect(try entries(root + "/trees") == [kept.hex])
        #expect(try contents(try store.tree(kept) + "/a/b") == bytes("kept"))
        #expect(try contents(try store.checkedTree(kept) + "/run") == bytes("kept"))
        #expect(store.freshen(single) == nil)
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(throws: ArtifactError.notFound(gone)) { try store.tree(gone) }

        #expect(try folder(store, "gone", ["c", "run"]) == gone)
        #expect(try contents(try store.checkedTree(gone) + "/run") == bytes("gone"))
        #expect(try permissions(try store.tree(gone) + "/run") == 0o555)
        try collect(store, [])
        #expect(try stored().isEmpty)
        #expect(try entries(root + "/trees").isEmpty)
    }

    @Test(
        "what somebody was told is there, or relies on, is young again",
        arguments: ["freshen", "missing", "put", "manifest", "tree", "checkedTree", "folder"])
    func young(_ way: String) throws {
        let store = try ArtifactStore(directory: root)
        let used = try folder(store, "used", ["a", "run"])
        let text = try store.read(used)
        let file = try store.manifest(used).files[0].digest
        _ = try folder(store, "unused", ["b"])
        _ = try store.tree(used)
        try age()
        let source = directory.path + "/source"
        try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: true)
        try Data("used".utf8).write(to: URL(fileURLWithPath: source + "/a"))
        var kept: [String] = [file.hex, file.hex + ".x"]
        switch way {
        case "freshen": #expect(store.freshen(file) == 4)
        case "missing": #expect(store.missing(in: try Manifest(text: text)).isEmpty)
        case "put": _ = try store.put(bytes("used"))
        case "manifest":
            _ = try store.storeManifest(text)
            kept.append(used.hex)
        case "tree":
            _ = try store.tree(used)
            kept = []
        case "checkedTree":
            _ = try store.checkedTree(used)
            kept = []
        default: kept.append(try store.storeFolder(at: source).manifest.hex)
        }
        let count = try collect(store, [], grace: .seconds(1800))
        #expect(count.youngFiles == kept.count)
        #expect(try stored() == kept.sorted())
        #expect(try entries(root + "/trees") == (kept.isEmpty ? [used.hex] : []))
        // A tree has names of its own for the bytes.
        if kept.isEmpty { #expect(try contents(root + "/trees/\(used.hex)/a") == bytes("used")) }
        try age()
        try collect(store, [], grace: .seconds(1800))
        #expect(try stored().isEmpty)
    }

    @Test("what is stored or found there within a use is kept without any grace, until the use ends")
    func uses() throws {
        let store = try ArtifactStore(directory: root)
        let old = try folder(store, "old", ["a"])
        let found = try folder(store, "found", ["b"])
        let use = store.beginUse()
        let new = try folder(store, "new", ["c"])
        _ = try folder(store, "found", ["b"])
        for _ in 0..<2 { try collect(store, []) }
        #expect(store.freshen(old) == nil)
        for manifest in [found, new] { _ = try store.tree(manifest) }
        use.end()
        use.end()
        try collect(store, [])
        #expect(try stored().isEmpty)
        do { _ = store.beginUse() }  // dropped without a word
        #expect(store.oldestUse == nil)
    }

    @Test("what is stored after a collection has begun is not removed by it")
    func later() throws {
        let store = try ArtifactStore(directory: root)
        let before = try folder(store, "before", ["a"])
        let again = try folder(store, "again", ["b"])
        // Written, and without a name yet.
        let staged = try store.stage()
        try bytes("staged").span.withUnsafeBytes { (piece) throws(ArtifactError) in try staged.write(piece) }
        let digest = try staged.finish(isFlushed: false)
        let collection = store.beginCollection(grace: .zero, isDryRun: false)
        let new = try folder(store, "new", ["c"])
        _ = try folder(store, "again", ["b"])
        try store.adopt([(staged, digest)])
        try finish(collection, [])
        for manifest in [new, again] { #expect(try store.manifest(manifest).files.count == 1) }
        #expect(store.contains(digest))
        #expect(!store.contains(before))
    }

    @Test("a root that cannot be read is named, and nothing is removed")
    func unreadable() throws {
        let store = try ArtifactStore(directory: root)
        let garbage = try folder(store, "garbage", ["a"])
        let root = try folder(store, "root", ["b"])
        let missing = SHA256Hasher.digest(of: bytes("never stored"))
        func error(_ digest: Digest) -> ArtifactError? {
            #expect(throws: ArtifactError.self) { try collect(store, [root, digest]) }
        }
        #expect(
            error(missing) == .unreadableRoot(name: "a root", reason: "\(ArtifactError.notFound(missing))"))
        let noManifest = try store.put(bytes("no manifest"))
        guard case .unreadableRoot = error(noManifest) else {
            Issue.record("it was read")
            return
        }
        try python(
            "import os, sys\nos.chmod(sys.argv[1], 0o644)\nopen(sys.argv[1], 'a').write('x')", [store.path(of: root)])
        #expect(error(root) == .unreadableRoot(name: "a root", reason: "\(ArtifactError.damaged(root))"))
        for digest in [garbage, noManifest] { #expect(store.contains(digest)) }
    }

    @Test("a file that was freshened is not hashed again, one that was changed is")
    func stamps() throws {
        let store = try ArtifactStore(directory: root)
        let manifest = try folder(store, "same", ["a"])
        let tree = try store.checkedTree(manifest)
        let file = try store.manifest(manifest).files[0].digest
        func isKnown() -> Bool {
            store.verified.withLock {
                $0[file.hex]?.isDone == true && $0[file.hex]?.stamp == FileStamp(of: store.path(of: file))
            }
        }
        #expect(isKnown())
        let before = try #require(FileStamp(of: store.path(of: file)))
        #expect(store.freshen(file) == 4)
        #expect(FileStamp(of: store.path(of: file)) != before)
        #expect(isKnown())
        // While it is being hashed, too.
        store.verified.withLock { $0[file.hex]?.isDone = false }
        #expect(store.freshen(file) == 4)
        store.verified.withLock { $0[file.hex]?.isDone = true }
        #expect(isKnown())
        try python("import os, sys\nos.chmod(sys.argv[1], 0o644)\nopen(sys.argv[1], 'w').write('sAme')", [tree + "/a"])
        #expect(store.freshen(file) == 4)
        #expect(!isKnown())
        #expect(throws: ArtifactError.damagedFile(path: "a", file)) { try store.checkedTree(manifest) }
    }

    @Test("what is known of a file goes with it")
    func forgets() throws {
        let store = try ArtifactStore(directory: root)
        _ = try store.tree(try folder(store, "same", ["a", "run"]))
        #expect(store.verified.withLock { $0.count } == 2)
        try collect(store, [], isDryRun: true)
        #expect(store.verified.withLock { $0.count } == 2)
        try collect(store, [])
        #expect(store.verified.withLock { $0.isEmpty })
    }

    @Test("damaged files go when they have lain for the grace time, and what is no file of the store stays")
    func strangers() throws {
        let store = try ArtifactStore(directory: root)
        let digest = try store.put(bytes("abc"))
        try age()
        _ = store.setAside(digest)
        try python(
            """
            import os, sys
            for name in ["files/ab/note", "files/readme", "trees/readme", "files/ab/" + "0" * 64 + ".y"]:
                os.makedirs(os.path.dirname(sys.argv[1] + "/" + name), exist_ok=True)
                open(sys.argv[1] + "/" + name, "w").write("mine")
            """, [root])
        try collect(store, [], grace: .seconds(1800))
        #expect(try entries(root + "/damaged") == [digest.hex])
        try age()
        #expect(try collect(store, [], grace: .seconds(1800)).removedFiles == 1)
        #expect(try entries(root + "/damaged").isEmpty)
        #expect(try stored().contains("note"))
        #expect(try entries(root + "/trees") == ["readme"])
    }

    @Test(
        "of threads that use files and collections that remove them, no thread misses a file that it was told is there")
    func race() async throws {
        let store = try ArtifactStore(directory: root)
        let race = Race()
        let texts = (0..<4).map { "content \($0)" }
        let manifests = try texts.map { content in
            let digest = SHA256Hasher.digest(of: bytes(content))
            return try Manifest(files: [
                .init(path: bytes("a"), isExecutable: false, sizeBytes: 9, digest: digest),
                .init(path: bytes("run"), isExecutable: true, sizeBytes: 9, digest: digest),
            ]).text
        }
        let problems = await withTaskGroup(of: [String].self) { group in
            group.addTask {
                await onThread {
                    while !race.isOver.load(ordering: .relaxed) {
                        do {
                            race.removed.add(try self.collect(store, []).removedFiles, ordering: .relaxed)
                        } catch {
                            return ["collection: \(error)"]
                        }
                    }
                    return []
                }
            }
            for seed in 0..<6 {
                group.addTask {
                    await onThread {
                        var problems: [String] = []
                        for round in 0..<150 {
                            let index = (seed + round) % texts.count
                            let use = store.beginUse()
                            defer { use.end() }
                            do {
                                // As a client does: sent only when it is said to be missing.
                                let file = SHA256Hasher.digest(of: bytes(texts[index]))
                                if store.freshen(file) == nil { _ = try store.put(bytes(texts[index])) }
                                let manifest = try store.storeManifest(manifests[index]).digest
                                let tree = try round % 2 == 0 ? store.tree(manifest) : store.checkedTree(manifest)
                                for name in ["a", "run"] {
                                    if try contents("\(tree)/\(name)") != bytes(texts[index]) {
                                        problems.append("\(name) of \(tree) has other bytes")
                                    }
                                }
                            } catch {
                                problems.append("round \(round): \(error)")
                            }
                        }
                        return problems
                    }
                }
            }
            var problems: [String] = []
            var ended = 0
            for await found in group {
                problems += found
                ended += 1
                // The last is the one that collects, for as long as somebody uses files.
                if ended == 6 { race.isOver.store(true, ordering: .relaxed) }
            }
            return problems
        }
        #expect(problems == [])
        #expect(race.removed.load(ordering: .relaxed) > 0)
        try collect(store, [])
        #expect(try stored().isEmpty)
    }
}
