import Glibc
import Synchronization
import Testing

@testable import WorkerRuntime

private struct Pieces: StreamingFunction {
    /// How many invocations were left through their `defer`, and how many pieces the last of them wrote.
    static let left = Mutex((invocations: 0, pieces: 0))
    static let megabyte = [UInt8](repeating: 7, count: 1 << 20)

    var kept: ResponseStream?
    init(_ context: InitContext) {}

    mutating func stream(_ event: Event, _ context: InvocationContext, to output: ResponseStream) throws {
        if let kept {
            #expect(throws: StreamClosed.self, "the stream of an invocation that is over") { try kept.write("late") }
        }
        kept = output
        let words = try event.json().string?.split(separator: " ") ?? []
        switch words.first {
        case "parts":
            output.contentType = "text/plain"
            try output.write("one")
            try output.write([])
            try output.write([0x00, 0xFF])
            try output.write("é")
        case "empty": break
        case "early": throw FunctionError(type: "BadInput", message: "too early")
        case "late":
            try output.write("one")
            throw FunctionError(type: "Bad\nInput", message: "too late: \"é\"")
        case "wordy":
            try output.write("one")
            throw FunctionError(type: "Long", message: String(repeating: "\u{1}", count: 100_000))
        case "gated":  // a piece for each byte that comes out of the pipe
            var byte: UInt8 = 0
            while read(Int32(words[1])!, &byte, 1) == 1, byte != UInt8(ascii: ".") { try output.write([byte]) }
        case "endless", "stubborn":
            var pieces = 0
            defer { Self.left.withLock { $0 = ($0.invocations + 1, pieces) } }
            do {
                while pieces < 200 {  // a test that fails should end
                    pieces += 1
                    try output.write(Self.megabyte)
                }
            } catch {
                #expect(throws: StreamClosed.self) { try output.write("again") }
                if words[0] == "endless" { throw error }
            }
        default: throw FunctionError(type: "BadInput", message: "what?")
        }
    }
}

/// A pipe that holds a function up until the test lets it go on.
private final class Gate {
    let reader: Int32
    private let writer: Int32

    init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0, "pipe")
        (reader, writer) = (ends[0], ends[1])
    }

    deinit {
        close(reader)
        close(writer)
    }

    func open(_ text: String) { precondition(write(writer, text, text.utf8.count) == text.utf8.count) }
}

@Suite("A streaming worker's slot", .serialized)
struct StreamTests {
    private let host: FakeHost
    private let worker: WorkerThread

    init() throws {
        host = FakeHost()
        worker = WorkerThread.infer(Pieces.self, host)
        _ = try #require(host.request())
    }

    private func send(_ event: String, after answer: [UInt8] = []) {
        host.send(answer + FakeHost.event(Array("\"\(event)\"".utf8), id: "s"))
    }

    private func expectHead(_ type: String = "application/octet-stream", _ line: SourceLocation = #_sourceLocation)
        throws
    {
        let head = try #require(host.streamHead(), sourceLocation: line)
        #expect(head.method == "POST" && head.path == "/2018-06-01/runtime/invocation/s/response", sourceLocation: line)
        #expect(
            head.headers == [
                "host": "runtime", "content-type": type, "lambda-runtime-invocation-id": "nonce-s",
                "lambda-runtime-function-response-mode": "streaming", "transfer-encoding": "chunked",
                "trailer": "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
            ], sourceLocation: line)
    }

    private func expectNext(_ line: SourceLocation = #_sourceLocation) {
        #expect(host.request()?.path == "/2018-06-01/runtime/invocation/next", sourceLocation: line)
    }

    /// The worker streams as if nothing had been; and its end.
    private func finish(after answer: [UInt8] = FakeHost.accepted) throws {
        send("parts", after: answer)
        try expectHead("text/plain")
        #expect(host.chunks() == [Array("one".utf8), [0x00, 0xFF], Array("é".utf8)])
        #expect(host.trailers.isEmpty)
        expectNext()
        host.close()
        worker.join()
    }

    @Test("sends each piece while the function still runs, and the end together with next")
    func pieces() throws {
        let gate = Gate()
        for round in 0..<2 {
            send("gated \(gate.reader)", after: round == 0 ? [] : FakeHost.accepted)
            gate.open("1")
            try expectHead()
            #expect(host.chunk() == Array("1".utf8))
            for byte in "23" {
                #expect(host.bufferedBytes == 0)
                gate.open(String(byte))
                #expect(host.chunk() == Array(String(byte).utf8))
            }
            gate.open(".")
            #expect(host.chunk() == [])
            #expect(host.bufferedBytes > 0, "the end and next are one write")
            expectNext()
        }
        try finish()
    }

    @Test("answers with an empty body when the function writes nothing")
    func empty() throws {
        send("empty")
        try expectHead()
        #expect(host.chunk() == [] && host.trailers.isEmpty)
        #expect(host.bufferedBytes > 0)
        expectNext()
        try finish()
    }

    @Test("posts an ordinary error for a failure before the first piece")
    func earlyError() throws {
        send("early")
        let error = try #require(host.request())
        #expect(error.path == "/2018-06-01/runtime/invocation/s/error")
        #expect(error.text == #"{"errorMessage":"too early","errorType":"BadInput","stackTrace":[]}"#)
        expectNext()
        try finish()
    }

    @Test("puts a failure after the first piece into the trailers")
    func lateError() throws {
        send("late")
        try expectHead()
        #expect(host.chunks() == [Array("one".utf8)])
        // {"errorMessage":"too late: \"é\"","errorType":"Bad\nInput","stackTrace":[]}
        let document =
            "eyJlcnJvck1lc3NhZ2UiOiJ0b28gbGF0ZTogXCLDqVwiIiwiZXJyb3JUeXBlIjoiQmFkXG5JbnB1dCIsInN0YWNrVHJhY2UiOltdfQ=="
        #expect(
            host.trailers == [
                "lambda-runtime-function-error-type": "Bad?Input", "lambda-runtime-function-error-body": document,
            ])
        expectNext()
        try finish()
    }

    @Test("cuts an error that is too long for trailers")
    func longError() throws {
        send("wordy")
        try expectHead()
        #expect(host.chunks() == [Array("one".utf8)])
        let expected = FunctionError(type: "Long", message: String(repeating: "\u{1}", count: 2000)).document
        #expect(host.trailers["lambda-runtime-function-error-body"] == expected.base64)
        expectNext()
        try finish()
    }

    @Test("stops the function at its next piece when the host has refused the stream")
    func refused() throws {
        let gate = Gate()
        send("gated \(gate.reader)")
        gate.open("1")
        try expectHead()
        #expect(host.chunk() == Array("1".utf8))
        host.send(FakeHost.refusal)
        gate.open("2")
        #expect(host.chunk() == [] && host.trailers.isEmpty)
        expectNext()
        try finish(after: [])
    }

    @Test(
        "holds the function up while the host does not read, and is refused then too",
        arguments: ["endless", "stubborn"])
    func blocked(event: String) throws {
        let before = Pieces.left.withLock(\.invocations)
        send(event)
        try expectHead()  // and no more than one read: the write of the first or second piece is blocked
        host.send(FakeHost.refusal)
        let chunks = host.chunks()
        #expect((1...3).contains(chunks.count) && chunks.allSatisfy { $0 == Pieces.megabyte })
        #expect(host.trailers.isEmpty)
        expectNext()
        let left = Pieces.left.withLock(\.self)
        #expect(left == (before + 1, chunks.count + 1), "one piece was made and not sent")
        try finish(after: [])
    }

    @Test("serves on when the host refuses a stream that had ended")
    func refusedLate() throws {
        send("parts")
        try expectHead("text/plain")
        _ = host.chunks()
        expectNext()
        try finish(after: FakeHost.refusal)
    }

    @Test("ends when the host hangs up within a stream")
    func hangUp() throws {
        let before = Pieces.left.withLock(\.invocations)
        send("endless")
        try expectHead()
        host.close()
        worker.join()
        #expect(Pieces.left.withLock(\.invocations) == before + 1)
    }

    @Test("passes 50 MB on, piece by piece")
    func large() throws {
        send("endless")
        try expectHead()
        for _ in 0..<50 { #expect(host.chunk() == Pieces.megabyte) }
        host.send(FakeHost.refusal)
        #expect(host.chunks().count <= 3)
        expectNext()
        try finish(after: [])
    }

    @Test("streams in several slots at the same time")
    func slots() throws {
        let second = FakeHost()
        let other = WorkerThread.infer(Pieces.self, second)
        _ = try #require(second.request())
        let gates = [Gate(), Gate()]
        for (gate, host) in zip(gates, [host, second]) {
            host.send(FakeHost.event(Array("\"gated \(gate.reader)\"".utf8)))
            gate.open("0")
            _ = try #require(host.streamHead())
        }
        for step in 1..<100 {
            for (gate, host) in zip(gates, [host, second]) {
                #expect(host.chunk() == Array("\((step - 1) % 10)".utf8))
                gate.open("\(step % 10)")
            }
        }
        for (gate, host) in zip(gates, [host, second]) {
            gate.open(".")
            #expect(host.chunks() == [Array("9".utf8)])
            #expect(host.request() != nil)
        }
        second.close()
        other.join()
        try finish()
    }

    @Test("gives a function's own tests the whole answer, or each piece")
    func withoutHost() throws {
        defer {
            host.close()
            worker.join()
        }
        var function = Pieces(InitContext())
        let response = try function.infer(Event(bytes: Array("\"parts\"".utf8)), InvocationContext())
        #expect(response.bytes == Array("one".utf8) + [0x00, 0xFF] + Array("é".utf8))
        #expect(response.contentType == "text/plain")
        let output = ResponseStream { _ throws(StreamClosed) in throw StreamClosed() }
        #expect(throws: StreamClosed.self) { try output.write("one") }
    }
}

@Test(
    "base64 is RFC 4648's",
    arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"), ("\u{F8}\u{FF}\u{BF}?>", "w7jDv8K/Pz4="),
    ])
func base64(text: String, expected: String) {
    #expect(Array(text.utf8).base64 == expected)
}
