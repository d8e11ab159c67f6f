import Foundation
import Testing

@testable import Artifacts

@Suite("Directories that others take files from")
struct SpoolDirectoryTests {
    private let path: String

    init() throws {
        path = NSTemporaryDirectory() + "spool-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    private func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    @Test("files have their whole content under their names, and nothing else is left")
    func add() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = try SpoolDirectory(path)
        let large = [UInt8](repeating: 7, count: 3_000_000)
        try directory.add([("a.json", [1, 2]), ("b.json", large), ("c.json", [])])
        try directory.add([("a.json", [3])])
        #expect(try names() == ["a.json", "b.json", "c.json"])
        #expect(FileManager.default.contents(atPath: path + "/a.json") == Data([3]))
        #expect(FileManager.default.contents(atPath: path + "/b.json") == Data(large))
        let mode = try FileManager.default.attributesOfItem(atPath: path + "/a.json")[.posixPermissions] as? Int
        #expect(mode == 0o640)
    }

    @Test("the group may read a file, whatever mask the process was started with")
    func mode() async {
        await #expect(processExitsWith: .success) {
            let path = NSTemporaryDirectory() + "spool-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: path) }
            umask(0o077)
            try SpoolDirectory(path).add([("a", [1])])
            let mode = try FileManager.default.attributesOfItem(atPath: path + "/a")[.posixPermissions] as? Int
            #expect(mode == 0o640)
        }
    }

    @Test("a directory that is full of files that nobody took gets no more")
    func full() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = try SpoolDirectory(path)
        for number in 0..<(SpoolDirectory.filesMax - 1) { symlink("x", "\(path)/\(number)") }
        #expect(throws: SpoolDirectory.Failure.self) { try directory.add([("a", [1]), ("b", [1])]) }
        try directory.add([("a", [1])])
        let failure = #expect(throws: SpoolDirectory.Failure.self) { try directory.add([("b", [1])]) }
        #expect(failure?.description == "\(path) has 100000 files that nobody took; allowed are 100000")
    }

    @Test("one that is not there, no directory, or went away says so")
    func none() throws {
        let directory = try SpoolDirectory(path)
        try Data().write(to: URL(fileURLWithPath: path + "/file"))
        let file = #expect(throws: SpoolDirectory.Failure.self) { try SpoolDirectory(path + "/file") }
        #expect(file?.description == "\(path)/file is no directory")
        try FileManager.default.removeItem(atPath: path)
        let gone = #expect(throws: SpoolDirectory.Failure.self) { try SpoolDirectory(path) }
        #expect(gone?.description == "\(path): No such file or directory")
        #expect(throws: SpoolDirectory.Failure.self) { try directory.add([("a", [1])]) }
    }
}
