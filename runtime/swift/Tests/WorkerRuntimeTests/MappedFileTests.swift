import Glibc
import Testing
import WorkerRuntime

@Suite("A mapped file")
struct MappedFileTests {
    private let path = "/tmp/mapped-\(getpid())-\(UInt64.random(in: 0 ... .max))"

    @Test("gives values in place, and refuses what is outside of it")
    func loads() throws {
        let values: [UInt32] = [1, 2, 3, 4]
        try values.withUnsafeBytes { try TrainingJob.replaceFile(atPath: path, with: $0) }
        defer { unlink(path) }
        let file = try MappedFile(path: path)
        #expect(file.count == 16)
        #expect(try file.load(UInt32.self, at: 4) == 2)
        #expect(try file.load(UInt16.self, at: 5) == 0)
        #expect(Array(try file.buffer(of: UInt32.self, at: 8, count: 2)) == [3, 4])
        for (offset, count) in [(-4, 1), (16, 1), (12, 2), (2, 1), (0, -1), (0, .max), (.max, 1)] {
            #expect(throws: MappedFile.OutOfBounds.self) { try file.buffer(of: UInt32.self, at: offset, count: count) }
        }
        #expect(throws: MappedFile.OutOfBounds.self) { try file.load(UInt64.self, at: 9) }
        withExtendedLifetime(file) {}
    }

    @Test("may be empty, and says which file is missing")
    func emptyAndMissing() throws {
        try TrainingJob.replaceFile(atPath: path, with: UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(try MappedFile(path: path).count == 0)
        unlink(path)
        let error = #expect(throws: SystemError.self) { try MappedFile(path: path) }
        #expect(error?.code == ENOENT)
        #expect("\(error!)".contains(path))
        #expect(throws: SystemError.self) { try MappedFile(path: "/tmp") }
    }
}
