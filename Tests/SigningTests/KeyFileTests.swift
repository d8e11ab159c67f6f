import Domain
import Foundation
import Signing
import Testing

@Suite("The file of the access keys")
struct KeyFileTests {
    private let directory = FileManager.default.temporaryDirectory.path + "/roost-keys-\(UniqueID.random())"
    private var path: String { directory + "/" + KeyFile.name }

    /// With a directory that is gone afterwards.
    private func inDirectory(_ body: () throws -> Void) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body()
    }

    private func write(_ text: String, mode: Int = 0o600) throws {
        try? FileManager.default.removeItem(atPath: path)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }

    @Test("keys are read as they were added, and nobody else can read them")
    func roundTrip() throws {
        try inDirectory {
            #expect(try KeyFile.load(path) == [])
            let plain = AccessKey.random(description: "größer \"\\ \n", createdAt: noon)
            let temporary = AccessKey.random(
                createdAt: noon, expiresAt: noon + 3600, functions: [FunctionPattern("a*")!, FunctionPattern("b")!],
                actions: [.train])
            try KeyFile.add(plain, to: path)
            try KeyFile.add(temporary, to: path)
            #expect(try KeyFile.load(path) == [plain, temporary])
            #expect(try mode(path) == 0o600)
            #expect(try mode(path + ".lock") == 0o600)
            #expect(try KeyFile.remove(plain.id, from: path) == plain)
            #expect(try KeyFile.load(path) == [temporary])
            #expect(throws: KeyFileError.unknownKey(path: path, id: plain.id)) {
                try KeyFile.remove(plain.id, from: path)
            }
            #expect(throws: KeyFileError.duplicateKey(path: path, id: temporary.id)) {
                try KeyFile.add(temporary, to: path)
            }
            try KeyFile.remove(temporary.id, from: path)
            #expect(try KeyFile.load(path) == [])
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == [
                    KeyFile.name, KeyFile.name + ".lock",
                ])
        }
    }

    @Test("no mask of the process opens or closes the file")
    func mask() throws {
        try inDirectory {
            let before = umask(0)
            defer { umask(before) }
            try KeyFile.add(.random(createdAt: noon), to: path)
            #expect(try mode(path) == 0o600)
        }
    }

    @Test("a file that others can read or write is refused", arguments: [0o644, 0o640, 0o604, 0o620, 0o601, 0o666])
    func permissions(mode: Int) throws {
        try inDirectory {
            try write(#"{"keys":[]}"#, mode: mode)
            let error = #expect(throws: KeyFileError.tooOpen(path: path, mode: UInt32(mode))) {
                try KeyFile.load(path)
            }
            #expect(error?.description.contains("0" + String(mode, radix: 8)) == true)
            // Nor is it replaced by one that would look safe.
            #expect(throws: KeyFileError.tooOpen(path: path, mode: UInt32(mode))) {
                try KeyFile.add(.random(createdAt: noon), to: path)
            }
            #expect(try self.mode(path) == mode)
        }
    }

    @Test("what is no regular file is refused")
    func kinds() throws {
        try inDirectory {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            #expect(throws: KeyFileError.notAFile(path: path)) { try KeyFile.load(path) }
            try FileManager.default.removeItem(atPath: path)

            #expect(mkfifo(path, 0o600) == 0)
            #expect(throws: KeyFileError.notAFile(path: path)) { try KeyFile.load(path) }
            try FileManager.default.removeItem(atPath: path)

            try write(#"{"keys":[]}"#)
            try FileManager.default.moveItem(atPath: path, toPath: directory + "/other")
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: directory + "/other")
            #expect(throws: KeyFileError.io(path: path, operation: "open", errno: ELOOP)) { try KeyFile.load(path) }
        }
    }

    @Test("a file that is damaged, or says more than is known, is refused and stays as it is")
    func damaged() throws {
        let good =
            #"{"id":"RSTKAAAAAAAAAAAAAAAA","secret":"0123456789012345678901234567890123456789","description":"d","#
            + #""createdAt":"2026-11-23T12:00:00.000Z","functions":["*"],"actions":["invoke"]}"#
        func document(_ part: String, _ other: String) -> String {
            precondition(good.contains(part))
            return #"{"keys":["# + good.replacingOccurrences(of: part, with: other) + "]}"
        }
        let texts: [(String, String)] = [
            ("", "near end of file"), ("{", "string or '}' expected"), ("[]", "an object"),
            (String(document("d", "d").dropLast(9)), "line 1"), ("{}", "keys is missing"),
            (#"{"keys":{}}"#, "an array"),
            (#"{"keys":[],"more":1}"#, "more is not a known key"), (#"{"keys":[3]}"#, "keys[0] must be an object"),
            (#"{"keys":[\#(good),\#(good)]}"#, "keys[1].id is that of another key, too"),
            (document(#""secret""#, #""secrets""#), "keys[0].secret is missing"),
            (document(#""description""#, #""name""#), "keys[0].name is not a known key"),
            (document("RSTKAAAA", "rstkaaaa"), "keys[0].id must be"),
            (document("RSTKAAAAAAAA", ""), "keys[0].id must be"),
            (document("0123456789012345678901234567890123456789", "short"), "keys[0].secret must be"),
            (document("0123456789012345678901234567890123456789", "01234567890123 456789"), "keys[0].secret must be"),
            (document("2026-11-23T12:00:00.000Z", "2026-11-31T12:00:00.000Z"), "keys[0].createdAt must be a time"),
            (document(#"["*"]"#, "[]"), "keys[0].functions must be"), (document(#"["*"]"#, #"["a/b"]"#), "'a/b'"),
            (document(#"["*"]"#, #""*""#), "keys[0].functions must be an array"),
            (document(#"["invoke"]"#, "[]"), "keys[0].actions must not be empty"),
            (document("invoke", "admin"), "'admin'"),
            (document(#""d""#, #""d","expiresAt":"2026-11-23T12:00:00.000Z""#), "needs a sessionToken"),
            (document(#""d""#, #""d","sessionToken":"0123456789012345""#), "keys[0].expiresAt is missing"),
            (
                document(#""d""#, #""d","sessionToken":"0","expiresAt":"2026-11-23T12:00:00.000Z""#),
                "sessionToken must be"
            ),
            (document(#""d""#, "\"" + String(repeating: "d", count: 257) + "\""), "keys[0].description must have"),
        ]
        try inDirectory {
            try write(document("d", "d"))
            #expect(try KeyFile.load(path).count == 1)
            for (text, reason) in texts {
                try write(text)
                let error = #expect(throws: KeyFileError.self, "\(text)") { try KeyFile.load(path) }
                guard case .damaged(path, let said)? = error else {
                    Issue.record("\(text): \(String(describing: error))")
                    continue
                }
                #expect(said.contains(reason), "\(text)")
                #expect(throws: KeyFileError.self) { try KeyFile.add(.random(createdAt: noon), to: path) }
                #expect(throws: KeyFileError.self) { try KeyFile.remove("RSTKAAAAAAAAAAAAAAAA", from: path) }
                #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
            }
        }
    }

    @Test("there is a limit to the keys")
    func limit() throws {
        try inDirectory {
            let key = AccessKey.random(createdAt: noon)
            try KeyFile.add(key, to: path)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let one = text.dropFirst(#"{"keys":["#.count).dropLast("]}\n".count)
            let many = (0..<KeyFile.keysMax).map {
                one.replacingOccurrences(of: key.id, with: "KEY\(1_000_000_000_000_000 + $0)")
            }
            try write(#"{"keys":["# + many.joined(separator: ",") + "]}")
            #expect(try KeyFile.load(path).count == KeyFile.keysMax)
            #expect(throws: KeyFileError.tooManyKeys(path: path, limit: KeyFile.keysMax)) {
                try KeyFile.add(.random(createdAt: noon), to: path)
            }
        }
    }

    @Test("a change that died left nothing that the next one minds")
    func leftovers() throws {
        try inDirectory {
            try Data("half".utf8).write(to: URL(fileURLWithPath: path + ".new"))
            try KeyFile.add(.random(createdAt: noon), to: path)
            #expect(try KeyFile.load(path).count == 1)
            #expect(try mode(path) == 0o600)
        }
    }

    @Test("changes at the same time exclude each other, and readers see whole files")
    func concurrentWriters() throws {
        try inDirectory { () throws in
            let path = path
            let keys = (0..<48).map { _ in AccessKey.random(createdAt: noon) }
            DispatchQueue.concurrentPerform(iterations: keys.count + 4) { index in
                do {
                    if index < keys.count {
                        try KeyFile.add(keys[index], to: path)
                    } else {
                        for _ in 0..<50 { _ = try KeyFile.load(path) }
                    }
                } catch {
                    Issue.record(error)
                }
            }
            #expect(try Set(KeyFile.load(path)) == Set(keys))
        }
    }

    @Test("a lock that is held is waited for")
    func lock() throws {
        try inDirectory { () throws in
            let held = open(path + ".lock", O_RDWR | O_CREAT, 0o600)
            #expect(flock(held, LOCK_EX) == 0)
            let path = path
            let done = DispatchSemaphore(value: 0)
            let thread = Thread {
                do { try KeyFile.add(.random(createdAt: noon), to: path) } catch { Issue.record(error) }
                done.signal()
            }
            thread.start()
            #expect(done.wait(timeout: .now() + 0.2) == .timedOut)
            #expect(try KeyFile.load(path) == [])
            close(held)
            #expect(done.wait(timeout: .now() + 10) == .success)
            #expect(try KeyFile.load(path).count == 1)
        }
    }

    @Test("a stamp changes with the file, and only with it")
    func stamps() throws {
        try inDirectory {
            #expect(try KeyFile.Stamp(of: path) == nil)
            var last: KeyFile.Stamp?
            for _ in 0..<5 {
                let key = AccessKey.random(createdAt: noon)
                try KeyFile.add(key, to: path)
                let stamp = try KeyFile.Stamp(of: path)
                #expect(stamp != nil && stamp != last)
                #expect(try KeyFile.Stamp(of: path) == stamp)
                last = stamp
                try KeyFile.remove(key.id, from: path)
                #expect(try KeyFile.Stamp(of: path) != stamp)
            }
        }
    }

    @Test("a folder that is not there is an error for a change, and no keys for a reader")
    func noFolder() {
        #expect(throws: KeyFileError.io(path: path + ".lock", operation: "open", errno: ENOENT)) {
            try KeyFile.add(.random(createdAt: noon), to: path)
        }
        #expect(throws: Never.self) { try KeyFile.load(path) == [] }
    }
}
