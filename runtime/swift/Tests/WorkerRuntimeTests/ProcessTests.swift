import Glibc
import Testing

@testable import WorkerRuntime

/// The program of `Tests/StreamingExample`, which is built beside the tests, with one slot.
private final class ExampleProcess {
    let host = FakeHost()
    private var pid: pid_t = 0
    private let log: Int32

    init() throws {
        var pipe: [Int32] = [0, 0]
        try #require(Glibc.pipe(&pipe) == 0)
        log = pipe[0]
        for end in pipe { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(log, F_SETFL, O_NONBLOCK)
        defer {
            close(pipe[1])
            close(host.workerSocket)
        }
        // Descriptors that dup2 makes stay open in the child.
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, host.workerSocket, 100)
        let tests = try #require(realpath("/proc/self/exe", nil))
        defer { free(tests) }
        let program =
            String(cString: tests).split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/StreamingExample"
        var arguments = [strdup(program), nil]
        var environment = [strdup("ROOST_RUNTIME_FDS=100"), nil]
        defer { for text in arguments + environment { free(text) } }
        let status = posix_spawn(&pid, program, &actions, nil, &arguments, &environment)
        try #require(status == 0, "\(program): \(String(cString: strerror(status)))")
    }

    deinit { close(log) }

    /// What is in the log now and was not read before.
    func printed() -> String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(log, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    /// The most memory that the process ever had, in KiB.
    func peakKilobytes() throws -> Int {
        let file = open("/proc/\(pid)/status", O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(line.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Int($0) })
    }

    /// Hangs up; the exit status as `waitpid` gives it.
    func finish() -> Int32 {
        host.close()
        var status: Int32 = -1
        waitpid(pid, &status, 0)
        return status
    }
}

@Suite("A function's process")
struct ProcessTests {
    @Test("streams 50 MB at the cost of one piece, and its log is complete when the stream ends")
    func stream() throws {
        let example = try ExampleProcess()
        _ = try #require(example.host.request())
        var before = 0
        for (round, bytes) in [1, 1 << 16, 10 << 20].enumerated() {
            let pieces = round == 0 ? 1 : (50 << 20) / bytes
            let event = FakeHost.event(Array(#"{"pieces":\#(pieces),"bytes":\#(bytes)}"#.utf8))
            example.host.send((round == 0 ? [] : FakeHost.accepted) + event)
            _ = try #require(example.host.streamHead())
            for number in 0..<pieces {
                let chunk = try #require(example.host.chunk())
                #expect(chunk.count == bytes && chunk.first == UInt8(truncatingIfNeeded: number))
            }
            #expect(example.host.chunk() == [])
            #expect(example.host.request() != nil)
            #expect(example.printed() == "all written")
            let peak = try example.peakKilobytes()
            if round == 0 { before = peak }
            #expect(peak - before < bytes / 1024 + 4096)
        }
        #expect(example.finish() == 0)
    }
}
