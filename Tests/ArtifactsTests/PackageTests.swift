import Domain
import Foundation
import Testing

@testable import Artifacts

@Suite struct PackageTests {
    let directory = TemporaryDirectory()
    var root: String { directory.path + "/artifacts" }

    func listing(_ store: ArtifactStore, _ digest: Digest) throws -> [String] {
        try store.manifest(digest).files.map {
            ($0.isExecutable ? "755 " : "644 ") + String(decoding: $0.path, as: UTF8.self)
        }
    }

    @Test("a zip's files are stored with their executable bits, and its digest is that of its bytes")
    func zips() throws {
        let store = try ArtifactStore(directory: root)
        let package = try zip(
            """
            z.writestr("echo.py", "def handler(event, context): return event\\n")
            z.writestr("bootstrap", "#!/bin/sh\\n")
            z.mkdir("lib") if hasattr(z, "mkdir") else z.writestr("lib/", "")
            mode(z, "lib/run", stat.S_IFREG | 0o755, b"#!/bin/sh\\n")
            mode(z, "lib/bootstrap", stat.S_IFREG | 0o644, b"")
            z.writestr("./文字/数据.txt", "中文")
            stored = ZipInfo("stored.bin"); stored.compress_type = zipfile.ZIP_STORED
            z.writestr(stored, bytes(range(256)) * 1024)
            dos = ZipInfo("dos.txt"); dos.create_system = 0; dos.external_attr = 0x20
            z.writestr(dos, "x")
            """)
        let stored = try store.storeZip(package)
        #expect(stored.codeSizeBytes == package.count)
        #expect(stored.codeDigest == SHA256Hasher.digest(of: package))
        #expect(stored.unpackedBytes == 42 + 10 + 10 + 6 + 262_144 + 1)
        #expect(
            try listing(store, stored.manifest) == [
                "755 bootstrap", "644 dos.txt", "644 echo.py", "644 lib/bootstrap", "755 lib/run", "644 stored.bin",
                "644 文字/数据.txt",
            ])
        #expect(try store.storeZip(package) == stored)
        let tree = try store.tree(stored.manifest)
        #expect(try contents(tree + "/文字/数据.txt") == bytes("中文"))
        #expect(try entries(root + "/tmp").isEmpty)
    }

    @Test("a zip written to a pipe, whose sizes follow the data, is read")
    func streamedZip() throws {
        let store = try ArtifactStore(directory: root)
        let package = try zip(
            """
            class Pipe(io.RawIOBase):
                def __init__(self): self.data = b""
                def writable(self): return True
                def write(self, b): self.data += bytes(b); return len(b)
            p = Pipe()
            with zipfile.ZipFile(p, "w", zipfile.ZIP_DEFLATED) as s: s.writestr("a.py", "x" * 5000)
            z.close(); open(sys.argv[1], "wb").write(p.data)
            """)
        #expect(try listing(store, try store.storeZip(package).manifest) == ["644 a.py"])
    }

    @Test(
        "what could leave the package or is no file is refused by its name",
        arguments: [
            (#"z.writestr("../evil", "x")"#, .badPath(path: "../evil", .dotComponent)),
            (#"z.writestr("a/../../evil", "x")"#, .badPath(path: "a/../../evil", .dotComponent)),
            (#"z.writestr("/etc/cron.d/evil", "x")"#, .badPath(path: "/etc/cron.d/evil", .absolute)),
            (#"z.writestr("a//b", "x")"#, .badPath(path: "a//b", .emptyComponent)),
            (#"z.writestr("../", "")"#, .badPath(path: "..", .dotComponent)),
            (#"link(z, "passwd", "/etc/passwd")"#, .unsupportedEntry(path: "passwd", .symbolicLink)),
            (#"link(z, "up", "../..")"#, .unsupportedEntry(path: "up", .symbolicLink)),
            (#"mode(z, "null", stat.S_IFCHR | 0o666)"#, .unsupportedEntry(path: "null", .special)),
            (#"z.writestr("twice", "a"); z.writestr("twice", "b")"#, .badPath(path: "twice", .duplicate)),
            (#"z.writestr("twice", "a"); z.writestr("./twice", "b")"#, .badPath(path: "twice", .duplicate)),
            (#"z.writestr("a", "x"); z.writestr("a/b", "x")"#, .badPath(path: "a", .fileAndDirectory)),
            (#"z.writestr("a", "x"); z.writestr("a/", "")"#, .badPath(path: "a", .fileAndDirectory)),
            (#"z.writestr("only/", "")"#, .empty),
        ] as [(String, ArtifactError)])
    func refused(script: String, expected: ArtifactError) throws {
        let store = try ArtifactStore(directory: root)
        let package = try zip(script)
        #expect(throws: expected) { try store.storeZip(package) }
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(try entries(root + "/files").isEmpty)
    }

    @Test("an encrypted zip is refused")
    func encrypted() throws {
        // Python cannot write one, so the flag is set in both headers.
        let package = try zip(
            """
            z.writestr("secret", "x" * 100); z.close()
            data = bytearray(open(sys.argv[1], "rb").read())
            data[6] |= 1; data[data.find(b"PK\\x01\\x02") + 8] |= 1
            open(sys.argv[1], "wb").write(data)
            z = zipfile.ZipFile(io.BytesIO(), "w")
            """)
        let store = try ArtifactStore(directory: root)
        #expect(throws: ArtifactError.encryptedPackage(entry: "secret")) { try store.storeZip(package) }
    }

    @Test("a bomb is noticed while it is unpacked, whatever it says about its size")
    func bomb() throws {
        var limits = ArtifactStore.Limits()
        limits.packageBytesMax = 1 << 20
        limits.packageFilesMax = 100
        let store = try ArtifactStore(directory: root, limits: limits)
        let bomb = try zip(#"z.writestr("zeros", bytes(64 << 20))"#)
        #expect(bomb.count < 100_000)
        #expect(throws: ArtifactError.tooManyBytes(limit: 1 << 20)) { try store.storeZip(bomb) }
        let parts = try zip("for i in range(20): z.writestr(str(i), bytes(100_000))")
        #expect(throws: ArtifactError.tooManyBytes(limit: 1 << 20)) { try store.storeZip(parts) }
        let many = try zip("for i in range(101): z.writestr(str(i), b'')")
        #expect(throws: ArtifactError.tooManyFiles(limit: 100)) { try store.storeZip(many) }
        let folders = try zip("for i in range(101): z.writestr(f'{i}/', b'')")
        #expect(throws: ArtifactError.tooManyFiles(limit: 100)) { try store.storeZip(folders) }
        let liar = try zip(
            """
            z.writestr("zeros", bytes(8 << 20)); z.close()
            data = bytearray(open(sys.argv[1], "rb").read())
            data[22:26] = struct.pack("<I", 10); at = data.find(b"PK\\x01\\x02"); data[at+24:at+28] = struct.pack("<I", 10)
            open(sys.argv[1], "wb").write(data)
            z = zipfile.ZipFile(io.BytesIO(), "w")
            """)
        #expect(throws: ArtifactError.self) { try store.storeZip(liar) }
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(try entries(root + "/files").isEmpty)
    }

    @Test("a truncated zip, one with flipped bits, and what is no zip are refused and leave nothing")
    func corrupt() throws {
        let store = try ArtifactStore(directory: root)
        let package = try zip(
            """
            import random
            random.seed(1)
            for i in range(3): z.writestr(f"file{i}", random.randbytes(3000))
            """)
        func isCorrupt(_ bytes: [UInt8]) -> Bool {
            do throws(ArtifactError) {
                _ = try store.storeZip(bytes)
                return false
            } catch {
                if case .corruptPackage = error { return true }
                Issue.record("\(error)")
                return false
            }
        }
        for count in [0, 1, 10, 100, package.count / 2, package.count - 30, package.count - 1] {
            #expect(isCorrupt(Array(package.prefix(count))), "\(count) of \(package.count) bytes")
        }
        var flipped = package
        flipped[4000] ^= 0xFF  // in the data of file1
        #expect {
            try store.storeZip(flipped)
        } throws: { error in
            guard case .corruptPackage("file1", _) = error as? ArtifactError else { return false }
            return true
        }
        #expect(isCorrupt(bytes("this is no zip")))
        #expect(isCorrupt([UInt8](repeating: 0, count: 4096)))
        #expect(try entries(root + "/tmp").isEmpty)
        #expect(try entries(root + "/files").isEmpty)
    }

    @Test("random damage to a zip is refused or harmless, and never crashes")
    func fuzz() throws {
        let store = try ArtifactStore(directory: root)
        let package = try zip(
            #"z.writestr("a/b.txt", "hello " * 50); z.writestr("bootstrap", "x"); z.writestr("文", bytes(100))"#)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            var damaged = package
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                damaged[Int.random(in: damaged.indices, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            _ = try? store.storeZip(damaged)
        }
        #expect(try entries(root + "/tmp").isEmpty)
    }
}
