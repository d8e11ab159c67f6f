import Domain
import Testing

@testable import Artifacts

@Suite struct ManifestTests {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    func file(_ path: [UInt8], executable: Bool = false, size: Int = 0) -> Manifest.File {
        .init(path: path, isExecutable: executable, sizeBytes: size, digest: Digest(empty)!)
    }

    @Test("the text is sorted by the bytes of the paths and escapes what is not plain")
    func text() throws {
        let files = [
            file(bytes("b c\n%"), executable: true, size: 12), file(bytes("a/b")), file(bytes("a-")),
            file([0x61, 0x2F, 0xFF]), file(bytes("中")),
        ]
        let manifest = try Manifest(files: files)
        #expect(
            String(decoding: manifest.text, as: UTF8.self) == """
                644 0 \(empty) a-
                644 0 \(empty) a/b
                644 0 \(empty) a/%FF
                755 12 \(empty) b%20c%0A%25
                644 0 \(empty) %E4%B8%AD

                """)
        #expect(try Manifest(text: manifest.text) == manifest)
        #expect(manifest.sizeBytes == 12)
    }

    @Test("a folder without files has the digest of no bytes")
    func noFiles() throws {
        let manifest = try Manifest(files: [])
        #expect(manifest.digest.hex == empty)
        #expect(try Manifest(text: []) == manifest)
    }

    @Test(
        "only the canonical text is read",
        arguments: [
            "644 0 D a", "644 0 D b\n644 0 D a\n", "600 0 D a\n", "644 00 D a\n", "644 +1 D a\n", "644 -1 D a\n",
            "644 99999999999999999999 D a\n", "644 0 XX a\n", "644 0 sha256:D a\n", "644 0 D\n", "644  0 D a\n",
            "644 0 D a b\n", "644 0 D a%2f\n", "644 0 D a%41\n", "644 0 D a%\n", "644 0 D a%2\n", "644 0 D 中\n",
            "644 0 D a\r\n", "\n", "644 0 D a\n\n",
        ])
    func strict(text: String) {
        #expect { try Manifest(text: bytes(text.replacing("D", with: empty))) } throws: { error in
            guard case .badManifest = error as? ArtifactError else { return false }
            return true
        }
    }

    @Test(
        "a path that could leave its folder or has two meanings is refused",
        arguments: [
            ("", .empty), ("/etc/passwd", .absolute), ("../a", .dotComponent), ("a/../b", .dotComponent),
            ("a/..", .dotComponent), ("./a", .dotComponent), ("a//b", .emptyComponent), ("a/", .emptyComponent),
            ("a%00b", .nulByte), (String(repeating: "a", count: 256), .tooLong),
            (String(repeating: "abc/", count: 256) + "a", .tooLong),
            (String(repeating: "a/", count: 128) + "a", .tooDeep),
        ] as [(String, ArtifactError.PathFault)])
    func paths(path: String, fault: ArtifactError.PathFault) {
        let text = bytes("644 0 \(empty) \(path)\n")
        #expect { try Manifest(text: text) } throws: { error in
            guard case .badPath(_, fault) = error as? ArtifactError else { return false }
            return true
        }
    }

    @Test("a file occurs once, and is no directory of another, whatever sorts between them")
    func collisions() {
        #expect(throws: ArtifactError.badPath(path: "a", .duplicate)) {
            try Manifest(files: [file(bytes("a")), file(bytes("b")), file(bytes("a"))])
        }
        #expect(throws: ArtifactError.badPath(path: "a", .fileAndDirectory)) {
            try Manifest(files: [file(bytes("a")), file(bytes("a-")), file(bytes("a/b"))])
        }
        #expect(throws: Never.self) { try Manifest(files: [file(bytes("a")), file(bytes("a0")), file(bytes("ab/c"))]) }
    }

    @Test("limits of files and bytes hold, also when the sum overflows")
    func limits() {
        var limits = Manifest.Limits()
        limits.filesMax = 2
        limits.bytesMax = 10
        let three = ["a", "b", "c"].map { file(bytes($0), size: 1) }
        #expect(throws: ArtifactError.tooManyFiles(limit: 2)) { try Manifest(files: three, limits: limits) }
        #expect(throws: ArtifactError.tooManyBytes(limit: 10)) {
            try Manifest(files: [file(bytes("a"), size: 5), file(bytes("b"), size: 6)], limits: limits)
        }
        #expect(throws: ArtifactError.self) {
            try Manifest(files: [file(bytes("a"), size: .max), file(bytes("b"), size: .max)])
        }
        #expect(throws: ArtifactError.tooManyFiles(limit: 2)) {
            try Manifest(text: try Manifest(files: three).text, limits: limits)
        }
    }
}
