import Domain
import Foundation
import Loop
import Synchronization
import TestSupport
import Testing

@testable import Workers

@Suite("Logs")
struct LogTests {
    private static func split(_ chunks: [String]) -> [String] {
        var splitter = LineSplitter()
        var lines: [String] = []
        for chunk in chunks {
            Array(chunk.utf8).withUnsafeBytes { bytes in
                splitter.split(bytes) { lines.append(String(decoding: $0, as: UTF8.self)) }
            }
        }
        splitter.finish { lines.append(String(decoding: $0, as: UTF8.self)) }
        return lines
    }

    @Test(
        "output is split into lines wherever it was cut",
        arguments: [
            (["a\nb\n"], ["a", "b"]), (["a", "b\nc", "\n"], ["ab", "c"]), (["a\r\nb"], ["a", "b"]),
            (["\n\n"], ["", ""]), ([""], []),
        ])
    func lines(chunks: [String], expected: [String]) {
        #expect(Self.split(chunks) == expected)
    }

    @Test("a line without end is cut, and nothing of it is lost")
    func longLine() {
        let text = String(repeating: "x", count: 3 * LineSplitter.lineBytesMax + 7)
        let lines = Self.split([text])
        #expect(lines.count == 4)
        #expect(lines.joined() == text)
    }

    @Test("a log keeps the newest lines within its bound, and followers see each line")
    func bounded() async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/roost-logs-\(UniqueID.random())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let function = FunctionName("f")!
        let followed = Mutex(0)
        let tail = Mutex<[UInt8]>([])
        let count = 3000
        try await withLoop { loop in
            let logs = FunctionLogs(directory: directory, loop: loop)
            _ = logs.follow(function) { _ in followed.withLock { $0 += 1 } }
            let text = [UInt8](repeating: UInt8(ascii: "y"), count: 10_000)
            let test = LogRun(logs: logs, loop: loop, function: function, count: count, text: text) { bytes in
                tail.withLock { $0 = bytes }
            }
            loop.spawn { await test.run() }
        }
        #expect(followed.withLock { $0 } == count)
        let lines = tail.withLock { String(decoding: $0, as: UTF8.self) }.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.last?.contains("\t\(count - 1)\t") == true)
        let files = try FileManager.default.contentsOfDirectory(atPath: directory + "/f")
        let sizes = try files.map { name in
            try FileManager.default.attributesOfItem(atPath: directory + "/f/" + name)[.size] as? Int ?? 0
        }
        #expect(files.count == 2)
        #expect(sizes.reduce(0, +) <= 2 * (FunctionLogs.fileBytesMax + FunctionLogs.pendingBytesMax))
    }

    @Test(
        "an exit is told in the Lambda API's words",
        arguments: [
            (.code(0), nil), (.code(3), "exit status 3"), (.signal(9), "signal: killed"), (.signal(99), "signal: 99"),
        ] as [(WorkerExit, String?)])
    func exits(exit: WorkerExit, expected: String?) {
        #expect(exit.reason == expected)
    }
}

/// Appends many lines, waiting for the disk now and then, as a loop with other work does by itself.
private final class LogRun {
    let logs: FunctionLogs
    let loop: EventLoop
    let function: FunctionName
    let count: Int
    let text: [UInt8]
    let done: ([UInt8]) -> Void

    init(
        logs: FunctionLogs, loop: EventLoop, function: FunctionName, count: Int, text: [UInt8],
        done: @escaping ([UInt8]) -> Void
    ) {
        self.logs = logs
        self.loop = loop
        self.function = function
        self.count = count
        self.text = text
        self.done = done
    }

    func run() async {
        for index in 0..<count {
            let line = LogLine(
                at: EventLoop.wallClock, version: .latest, worker: UInt64(index), request: nil, text: text)
            logs.append(line, to: function)
            if index % 50 == 0 { await logs.flush() }
        }
        await logs.flush()
        done(await logs.tail(function, lines: 2))
        loop.stop()
    }
}
