import Domain
import Foundation
import Testing

@testable import Artifacts

@Suite struct StoreTests {
    let directory = TemporaryDirectory()
    var root: String { directory.path + "/artifacts" }

    @Test("a file is stored under its digest, read-only, and a second time it is the same file")
    func put() throws {
        let store = try ArtifactStore(directory: root)
        let digest = try store.put(bytes("abc"))
        #expect(digest.hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let path = store.path(of: digest)
        let before = try inode(path)
        #expect(try store.put(bytes("abc")) == digest)
        #expect(try inode(path) == before)
        #expect(try permissions(path) == 0o444)
        #expect(try store.read(digest) == bytes("abc"))
        #expect(store.size(of: digest) == 3)
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(throws: ArtifactError.fileTooLarge(limit: 2)) { try store.read(digest, bytesMax: 2) }
        #expect(!store.contains(SHA256Hasher.digest(of: bytes("abd"))))
    }

    @Test("an upload whose bytes are others is refused, also when the announced file is stored")
    func uploads() throws {
        var limits = ArtifactStore.Limits()
        limits.fileBytesMax = 10
        let store = try ArtifactStore(directory: root, limits: limits)
        let expected = SHA256Hasher.digest(of: bytes("hello"))
        for _ in 0..<2 {
            let bad = try store.beginUpload(expecting: expected)
            try bad.write(bytes("hellO"))
            let actual = SHA256Hasher.digest(of: bytes("hellO"))
            #expect(throws: ArtifactError.digestMismatch(expected: expected, actual: actual)) { try bad.finish() }

            let good = try store.beginUpload(expecting: expected, sizeBytes: 5)
            try good.write(bytes("hel"))
            try good.write(bytes("lo"))
            try good.finish()
            good.abort()
            #expect(try store.read(expected) == bytes("hello"))
        }
        let short = try store.beginUpload(expecting: expected, sizeBytes: 6)
        try short.write(bytes("hello"))
        #expect(throws: ArtifactError.sizeMismatch(expected: 6, actual: 5)) { try short.finish() }
        let long = try store.beginUpload(expecting: expected, sizeBytes: 4)
        #expect(throws: ArtifactError.sizeMismatch(expected: 4, actual: 5)) { try long.write(bytes("hello")) }
        let large = try store.beginUpload(expecting: expected)
        try large.write(bytes("0123456789"))
        #expect(throws: ArtifactError.fileTooLarge(limit: 10)) { try large.write(bytes("x")) }
        #expect(throws: ArtifactError.fileTooLarge(limit: 10)) {
            try store.beginUpload(expecting: expected, sizeBytes: 11)
        }
        do { _ = try store.beginUpload(expecting: expected) }  // dropped without a word
        #expect(try entries(root + "/tmp").isEmpty)
    }

    @Test("what a killed host left unfinished is gone after the next start, what it finished is not")
    func leftovers() throws {
        let digest = try ArtifactStore(directory: root).put(bytes("abc"))
        try python(
            """
            import os, sys
            root = sys.argv[1]
            open(root + "/tmp/7", "w").write("half")
            os.makedirs(root + "/trees/.new-3/a/b"); open(root + "/trees/.new-3/a/b/c", "w").write("half")
            os.chmod(root + "/trees/.new-3/a/b", 0o555)
            """, [root])
        let store = try ArtifactStore(directory: root)
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(try entries(root + "/trees").isEmpty)
        #expect(store.contains(digest))
    }

    @Test("many threads that store the same file and build the same tree all succeed")
    func concurrency() async throws {
        let store = try ArtifactStore(directory: root)
        let content = [UInt8](repeating: 7, count: 1 << 20)
        let file = Manifest.File(
            path: bytes("bin/run"), isExecutable: true, sizeBytes: content.count,
            digest: SHA256Hasher.digest(of: content))
        let text = try Manifest(files: [file]).text
        let paths = await withTaskGroup { group in
            for _ in 0..<16 {
                group.addTask { () -> String? in
                    guard (try? store.put(content)) == file.digest else { return nil }
                    guard let manifest = try? store.storeManifest(text) else { return nil }
                    return try? store.tree(manifest.digest)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(paths.count == 16)
        #expect(Set(paths).count == 1)
        #expect(try contents(#require(paths[0]) + "/bin/run") == content)
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(try entries(root + "/trees").count == 1)
    }

    @Test("a manifest is taken once its files are there, and says which are not")
    func missingFiles() throws {
        let store = try ArtifactStore(directory: root)
        let files = (0..<12).map { index in
            Manifest.File(
                path: bytes("f\(index)"), isExecutable: false, sizeBytes: 1,
                digest: SHA256Hasher.digest(of: bytes(String(UnicodeScalar(UInt8(0x61 + index))))))
        }
        let manifest = try Manifest(files: files)
        let missing = manifest.files.map(\.digest)
        #expect(store.missing(in: manifest) == missing)
        #expect(throws: ArtifactError.missingFiles(count: 12, first: Array(missing.prefix(10)))) {
            try store.storeManifest(manifest.text)
        }
        for index in 0..<12 { _ = try store.put(bytes(String(UnicodeScalar(UInt8(0x61 + index))))) }
        #expect(try store.storeManifest(manifest.text) == manifest)
        #expect(try store.manifest(manifest.digest) == manifest)

        var wrong = files[0]
        wrong.sizeBytes = 2
        #expect(throws: ArtifactError.sizeMismatch(expected: 2, actual: 1)) {
            try store.storeManifest(try Manifest(files: [wrong]).text)
        }
        #expect(throws: ArtifactError.notFound(files[0].digest.self)) {
            try ArtifactStore(directory: directory.path + "/other").read(files[0].digest)
        }
    }

    @Test("a tree has the files with their modes and shares them with other trees")
    func trees() throws {
        let store = try ArtifactStore(directory: root)
        let digest = try store.put(bytes("#!/bin/sh\n"))
        func manifest(_ files: [(String, Bool)]) throws -> Digest {
            let files = files.map {
                Manifest.File(path: bytes($0.0), isExecutable: $0.1, sizeBytes: 10, digest: digest)
            }
            return try store.storeManifest(try Manifest(files: files).text).digest
        }
        let first = try store.tree(try manifest([("run", true), ("data/a/text", false), ("data/行.txt", false)]))
        let second = try store.tree(try manifest([("other", false), ("run", true)]))
        #expect(try permissions(first) == 0o555)
        #expect(try permissions(first + "/data/a") == 0o555)
        #expect(try permissions(first + "/run") == 0o555)
        #expect(try permissions(first + "/data/a/text") == 0o444)
        #expect(try inode(first + "/data/a/text") == inode(second + "/other"))
        #expect(try inode(first + "/data/行.txt") == inode(store.path(of: digest)))
        #expect(try inode(first + "/run") == inode(second + "/run"))
        #expect(try contents(first + "/run") == bytes("#!/bin/sh\n"))
        #expect(try entries(root + "/trees").count == 2)
        // An unprivileged user can read it, given a way to it.
        let isReadable = try python(
            """
            import os, sys
            if os.getuid() == 0:
                os.chmod(os.path.dirname(sys.argv[2]), 0o755)
                os.setgroups([]); os.setgid(65534); os.setuid(65534)
            print(open(sys.argv[1] + "/data/a/text").read() == "#!/bin/sh\\n" and os.access(sys.argv[1] + "/run", os.X_OK))
            """, [first, root])
        #expect(isReadable == "True\n")
    }

    @Test("a file that was damaged on disk is found when it is first loaded, and can be stored again")
    func damage() throws {
        let digest = try ArtifactStore(directory: root).put(bytes("model"))
        let file = Manifest.File(path: bytes("m"), isExecutable: false, sizeBytes: 5, digest: digest)
        let manifest = try ArtifactStore(directory: root).storeManifest(try Manifest(files: [file]).text).digest
        let store = try ArtifactStore(directory: root)
        try python(
            "import os, sys\nos.chmod(sys.argv[1], 0o644)\nopen(sys.argv[1], 'w').write('mOdel')",
            [store.path(of: digest)])
        #expect(throws: ArtifactError.damaged(digest)) { try store.tree(manifest) }
        #expect(!store.contains(digest))
        #expect(try entries(root + "/trees").isEmpty)
        #expect(try entries(root + "/damaged") == [digest.hex])
        _ = try store.put(bytes("model"))
        #expect(try contents(try store.tree(manifest) + "/m") == bytes("model"))
    }

    @Test("a file of a tree that was damaged later is found by its path, and the tree can be made again")
    func laterDamage() throws {
        let store = try ArtifactStore(directory: root)
        let files = try ["a/plain", "run"].map { path in
            Manifest.File(
                path: bytes(path), isExecutable: path == "run", sizeBytes: 4, digest: try store.put(bytes("same")))
        }
        let manifest = try store.storeManifest(try Manifest(files: files).text).digest
        let tree = try store.checkedTree(manifest)
        #expect(try store.checkedTree(manifest) == tree)
        for (path, stored) in [("a/plain", files[0].digest.hex), ("run", files[0].digest.hex + ".x")] {
            try python(
                "import os, sys\nos.chmod(sys.argv[1], 0o644)\nopen(sys.argv[1], 'w').write('sAme')",
                ["\(tree)/\(path)"])
            #expect(throws: ArtifactError.damagedFile(path: path, files[0].digest)) { try store.checkedTree(manifest) }
            #expect(try entries(root + "/damaged").contains(stored))
            _ = try store.put(bytes("same"))
            #expect(try contents(try store.checkedTree(manifest) + "/" + path) == bytes("same"))
        }
    }

    @Test("a stored file that was cut short is found before a tree is made of it, and can be stored again")
    func cutShort() throws {
        let store = try ArtifactStore(directory: root)
        let digest = try store.put(bytes("model"))
        let file = Manifest.File(path: bytes("m"), isExecutable: false, sizeBytes: 5, digest: digest)
        let manifest = try store.storeManifest(try Manifest(files: [file]).text).digest
        try python(
            "import os, sys\nos.chmod(sys.argv[1], 0o644)\nos.truncate(sys.argv[1], 2)", [store.path(of: digest)])
        #expect(throws: ArtifactError.damagedFile(path: "m", digest)) { try store.checkedTree(manifest) }
        #expect(!store.contains(digest))
        _ = try store.put(bytes("model"))
        #expect(try contents(try store.checkedTree(manifest) + "/m") == bytes("model"))
    }

    @Test("an upload that was given up goes on in another process, and the whole is checked")
    func parts() throws {
        let content = bytes(String(repeating: "0123456789abcdef", count: 1 << 17))
        let digest = SHA256Hasher.digest(of: content)
        func begin(_ count: Int) throws {
            let upload = try ArtifactStore(directory: root).beginUpload(expecting: digest, sizeBytes: content.count)
            try upload.write(Array(content[..<count]))
            upload.abort()
        }
        try begin(1_000_000)
        let store = try ArtifactStore(directory: root)
        #expect(store.partSize(of: digest) == 1_000_000)
        let upload = try store.beginUpload(expecting: digest, sizeBytes: content.count, start: 900_000)
        #expect(store.partSize(of: digest) == nil, "somebody is sending it")
        #expect(throws: ArtifactError.self) {
            try store.beginUpload(expecting: digest, sizeBytes: content.count, start: 900_000)
        }
        // Another one sends all of it meanwhile.
        let second = try store.beginUpload(expecting: digest, sizeBytes: content.count)
        try second.write(content)
        try second.finish()
        try upload.write(Array(content[900_000...]))
        try upload.finish()
        #expect(try contents(store.path(of: digest)) == content)
        #expect(try entries(root + "/partial").isEmpty)
        #expect(try entries(root + "/tmp").isEmpty)
    }

    @Test("a wrong beginning is dropped with the upload, a small file's is not kept, and there are not too many")
    func badParts() throws {
        let store = try ArtifactStore(directory: root)
        let size = ArtifactStore.partBytesMin
        let content = [UInt8](repeating: 7, count: size)
        let digest = SHA256Hasher.digest(of: content)
        func begin(_ digest: Digest, _ written: [UInt8], sizeBytes: Int) throws {
            let upload = try store.beginUpload(expecting: digest, sizeBytes: sizeBytes)
            try upload.write(written)
            upload.abort()
        }
        try begin(digest, [1, 2, 3], sizeBytes: size)
        let upload = try store.beginUpload(expecting: digest, sizeBytes: size, start: 3)
        try upload.write(Array(content[3...]))
        #expect(throws: ArtifactError.self) { try upload.finish() }
        #expect(store.partSize(of: digest) == nil)
        try begin(digest, [7], sizeBytes: size - 1)
        #expect(store.partSize(of: digest) == nil)
        try begin(digest, [7], sizeBytes: size)
        #expect(throws: ArtifactError.sizeMismatch(expected: 2, actual: 1)) {
            try store.beginUpload(expecting: digest, sizeBytes: size, start: 2)
        }
        #expect(throws: ArtifactError.sizeMismatch(expected: 1, actual: 0)) {
            try store.beginUpload(expecting: digest, sizeBytes: size, start: 1)
        }
        for number in 0..<20 { try begin(SHA256Hasher.digest(of: [UInt8(number)]), [7], sizeBytes: size) }
        #expect(try entries(root + "/partial").count == ArtifactStore.partsMax)
        try python(
            "import os, sys\nfor name in os.listdir(sys.argv[1]): os.utime(sys.argv[1] + '/' + name, (0, 0))",
            [root + "/partial"])
        _ = try ArtifactStore(directory: root)
        #expect(try entries(root + "/partial").isEmpty)
    }

    @Test("a folder is stored by content, path and executable bit")
    func folder() throws {
        let store = try ArtifactStore(directory: root)
        let source = directory.path + "/source"
        try python(
            """
            import os, sys
            root = sys.argv[1].encode()
            os.makedirs(root + b"/sub/deep"); os.makedirs(root + b"/empty")
            open(root + b"/sub/deep/x", "wb").write(b"1234"); open(root + b"/run", "wb").write(b"ab")
            open(root + b"/" + bytes([0xff, 0x0a]), "wb").write(b"")
            os.chmod(root + b"/run", 0o700)
            """, [source])
        let stored = try store.storeFolder(at: source)
        #expect(stored.filesCount == 3)
        #expect(stored.sizeBytes == 6)
        let lines = String(decoding: try store.manifest(stored.manifest).text, as: UTF8.self).split(separator: "\n")
        #expect(
            lines.map { $0.split(separator: " ")[0] + " " + $0.split(separator: " ")[3] }
                == ["755 run", "644 sub/deep/x", "644 %FF%0A"])
        #expect(try store.storeFolder(at: source) == stored)
        let tree = try store.tree(stored.manifest)
        #expect(try contents(tree + "/sub/deep/x") == bytes("1234"))
        #expect(try entries(tree).count == 3)
        #expect(try entries(root + "/tmp").isEmpty)
    }

    @Test(
        "links, pipes and sockets in a folder are refused",
        arguments: [
            ("os.symlink('/etc/passwd', r + '/x')", .symbolicLink), ("os.symlink('.', r + '/x')", .symbolicLink),
            ("os.mkfifo(r + '/x')", .special),
            ("import socket; os.chdir(r); socket.socket(socket.AF_UNIX).bind('x')", .special),
        ] as [(String, ArtifactError.Kind)])
    func refusedInFolder(script: String, kind: ArtifactError.Kind) throws {
        let store = try ArtifactStore(directory: root)
        let source = directory.path + "/source"
        try python("import os, sys\nr = sys.argv[1]\nos.mkdir(r)\n" + script, [source])
        #expect(throws: ArtifactError.unsupportedEntry(path: "x", kind)) { try store.storeFolder(at: source) }
        #expect(try entries(root + "/tmp").isEmpty)
    }

    @Test("a folder over the limits is refused, and so is one that is a link")
    func folderLimits() throws {
        var limits = ArtifactStore.Limits()
        limits.folder.filesMax = 2
        limits.folder.bytesMax = 10
        let store = try ArtifactStore(directory: root, limits: limits)
        let source = directory.path + "/source"
        try python(
            """
            import os, sys
            r = sys.argv[1]
            os.makedirs(r + "/many"); os.makedirs(r + "/large"); os.symlink(r + "/large", r + "/link")
            for i in range(3): open(f"{r}/many/{i}", "w").close()
            open(r + "/large/x", "w").write("01234567890")
            """, [source])
        #expect(throws: ArtifactError.tooManyFiles(limit: 2)) { try store.storeFolder(at: source + "/many") }
        #expect(throws: ArtifactError.tooManyBytes(limit: 10)) { try store.storeFolder(at: source + "/large") }
        #expect(throws: ArtifactError.self) { try store.storeFolder(at: source + "/link") }
        #expect(throws: ArtifactError.self) { try store.storeFolder(at: source + "/none") }
    }
}
