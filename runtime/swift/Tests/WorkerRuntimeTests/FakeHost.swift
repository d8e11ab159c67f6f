import Glibc

@testable import WorkerRuntime

/// The host's end of a worker's connection, driven by a test line by line.
final class FakeHost {
    struct Request {
        var method: String
        var path: String
        var headers: [String: String]
        var body: [UInt8]

        var text: String { String(decoding: body, as: UTF8.self) }
    }

    private let socket: Int32
    /// The other end, for a `HostConnection` to take over.
    let workerSocket: Int32
    private var buffer: [UInt8] = []
    private var isClosed = false

    init() {
        var pair: [Int32] = [0, 0]
        // Not for the processes that other tests start: an end that they hold is not seen to close.
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let status = socketpair(AF_UNIX, kind, 0, &pair)
        precondition(status == 0, "socketpair")
        (socket, workerSocket) = (pair[0], pair[1])
        var limit = timeval(tv_sec: 20, tv_usec: 0)  // a test that waits for nothing must fail, not hang
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close() }

    func close() {
        if !isClosed { Glibc.close(socket) }
        isClosed = true
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            precondition(count > 0, "the worker closed its end")
            sent += count
        }
    }

    static func event(_ body: [UInt8], id: String = "id-1") -> [UInt8] {
        Array(
            """
            HTTP/1.1 200 OK\r
            Content-Type: application/json\r
            content-length: \(body.count)\r
            Lambda-Runtime-Aws-Request-Id: \(id)\r
            Lambda-Runtime-Deadline-Ms: 4102444800000\r
            Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:f:live\r
            Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r
            Lambda-Runtime-Client-Context: {"a":1}\r
            Lambda-Runtime-Invocation-Id: nonce-\(id)\r
            \r

            """.utf8) + body
    }

    static let accepted = Array("HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n".utf8)

    /// The next request; `nil` when the worker closed the connection, or sent nothing for 20 s.
    func request() -> Request? {
        while true {
            if let request = parse() { return request }
            guard read() > 0 else { return nil }
        }
    }

    /// How many bytes beyond the last request were already received.
    var bufferedBytes: Int { buffer.count }

    private func read() -> Int {
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        let count = recv(socket, &chunk, chunk.count, 0)
        if count > 0 { buffer += chunk[..<count] }
        return count
    }

    private func parse() -> Request? {
        let before = buffer
        guard var request = parseHead() else { return nil }
        let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
        guard buffer.count >= length else {
            buffer = before
            return nil
        }
        request.body = Array(buffer[..<length])
        buffer.removeFirst(length)
        return request
    }

    private func parseHead() -> Request? {
        let blank = Array("\r\n\r\n".utf8)
        guard buffer.count >= 4,
            let headEnd = (0...(buffer.count - 4)).first(where: { Array(buffer[$0..<($0 + 4)]) == blank })
        else { return nil }
        var lines = String(decoding: buffer[..<headEnd], as: UTF8.self).split(separator: "\r\n")
        let words = lines.removeFirst().split(separator: " ").map(String.init)
        buffer.removeFirst(headEnd + 4)
        return Request(method: words[0], path: words[1], headers: Self.fields(lines), body: [])
    }

    private static func fields(_ lines: [Substring]) -> [String: String] {
        var fields: [String: String] = [:]
        for line in lines {
            let colon = line.firstIndex(of: ":")!
            fields[line[..<colon].lowercased()] = String(line[line.index(colon, offsetBy: 2)...])
        }
        return fields
    }

    // MARK: Streams

    /// The head of a streamed answer; `chunk()` gives what follows. `nil` as for `request()`.
    func streamHead() -> Request? {
        trailers = [:]
        while true {
            if let request = parseHead() { return request }
            guard read() > 0 else { return nil }
        }
    }

    /// What came behind the last chunk.
    private(set) var trailers: [String: String] = [:]

    /// The next chunk of a streamed answer; empty for the last, `nil` when the worker closed the connection before.
    func chunk() -> [UInt8]? {
        guard let line = line(), let size = Int(line, radix: 16) else { return nil }
        if size == 0 {
            var lines: [Substring] = []
            while let line = self.line(), !line.isEmpty { lines.append(line[...]) }
            trailers = Self.fields(lines)
            return []
        }
        while buffer.count < size + 2 {
            guard read() > 0 else { return nil }
        }
        let chunk = Array(buffer[..<size])
        precondition(buffer[size] == 0x0D && buffer[size + 1] == 0x0A)
        buffer.removeFirst(size + 2)
        return chunk
    }

    /// All chunks up to the last.
    func chunks() -> [[UInt8]] {
        var chunks: [[UInt8]] = []
        while let chunk = chunk(), !chunk.isEmpty { chunks.append(chunk) }
        return chunks
    }

    static let refusal = Array(
        "HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".utf8)

    private func line() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 0x0D), end + 1 < buffer.count {
                precondition(buffer[end + 1] == 0x0A)
                defer { buffer.removeFirst(end + 2) }
                return String(decoding: buffer[..<end], as: UTF8.self)
            }
            guard read() > 0 else { return nil }
        }
    }
}

/// A worker's slot on a thread of its own.
final class WorkerThread {
    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    private var thread = pthread_t()

    init(_ body: @escaping () -> Void) {
        let context = Unmanaged.passRetained(Body(body)).toOpaque()  // released by the thread
        pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context)
    }

    func join() { pthread_join(thread, nil) }

    static func infer<F: Function>(_ function: F.Type, _ host: FakeHost) -> WorkerThread {
        let socket = host.workerSocket
        return WorkerThread { Worker.infer(function, on: HostConnection(socket: socket), slot: 0, of: 1) }
    }

    static func train(_ function: any TrainableFunction.Type, _ host: FakeHost) -> WorkerThread {
        let socket = host.workerSocket
        return WorkerThread { Worker.train(function, on: HostConnection(socket: socket)) }
    }
}
