import Dispatch
import Domain
import Foundation
import HTTP
import Loop
import Synchronization
import Testing

/// A real server on port 0 with its loop on a thread of its own. The test's thread talks to it through blocking sockets.
// @unchecked Sendable: what lives on the loop is used there only; the rest is set in init.
final class HTTPTestServer: @unchecked Sendable {
    let loop: EventLoop
    let port: Int
    let delegate: TestDelegate
    private let server: HTTPServer
    private let ended = DispatchSemaphore(value: 0)
    /// Bodies for the loop, and the socket that wakes it. (`EventLoop.execute` goes through the pool of threads that the
    /// tests themselves block.)
    private let inbox: Inbox
    private let wakeup: CInt

    private final class Inbox: Sendable {
        let bodies = Mutex<[@Sendable () -> Void]>([])
    }

    init(_ limits: HTTPLimits = HTTPLimits(), connectionsMax: Int = 100) {
        let started = DispatchSemaphore(value: 0)
        let ended = ended
        let delegate = TestDelegate()
        let inbox = Inbox()
        let pair = try! Descriptor.socketPair()
        self.inbox = inbox
        wakeup = pair.childs
        nonisolated(unsafe) var parts: (EventLoop, HTTPServer)!
        let thread = Thread {
            let loop = try! EventLoop()
            delegate.loop = loop
            let server = try! HTTPServer(
                loop: loop, host: "127.0.0.1", port: 0, limits: limits, connectionsMax: connectionsMax,
                delegate: delegate)
            parts = (loop, server)
            let control = try! Stream(loop: loop, pipeDescriptor: pair.ours)
            control.onRead = { _ in
                let bodies = inbox.bodies.withLock { bodies in
                    defer { bodies = [] }
                    return bodies
                }
                for body in bodies { body() }
            }
            try! control.startReading()
            started.signal()
            loop.run {
                server.close()
                control.close()
            }
            ended.signal()
        }
        thread.start()
        started.wait()
        (loop, server) = parts
        port = server.port
        self.delegate = delegate
    }

    /// Runs on the loop, and returns when it has run.
    func onLoop(_ body: @escaping @Sendable (HTTPServer) -> Void) {
        let done = DispatchSemaphore(value: 0)
        let bound = UncheckedBox(server)
        execute {
            body(bound.value)
            done.signal()
        }
        done.wait()
    }

    private func execute(_ body: @escaping @Sendable () -> Void) {
        inbox.bodies.withLock { $0.append(body) }
        _ = Glibc.send(wakeup, "x", 1, CInt(MSG_NOSIGNAL))
    }

    /// Stops the loop, which ends only if every handle was closed.
    func stop() {
        let loop = loop
        execute { loop.stop() }
        #expect(ended.wait(timeout: .now() + 10) == .success, "the loop has handles open")
        Descriptor.close(wakeup)
    }
}

struct UncheckedBox<Value>: @unchecked Sendable {  // handed to the loop's thread, which owns the value
    let value: Value
    init(_ value: Value) { self.value = value }
}

/// A handler whose behaviour the path chooses. It notes what it is told, for tests to wait for.
final class TestDelegate: HTTPConnectionDelegate, @unchecked Sendable {  // events: mutex; the rest on the loop only
    var loop: EventLoop!
    private let events = Mutex<[String]>([])
    private let changed = DispatchSemaphore(value: 0)
    private var pending: [HTTPExchange] = []
    private var timers: [LoopTimer] = []
    private let queuedMax = Mutex(0)
    private var streamedLeft = 0

    var log: [String] { events.withLock { $0 } }
    var queuedBytesMax: Int { queuedMax.withLock { $0 } }

    /// Waits until the event was noted, but for no longer than `limit`.
    func await(_ event: String, for limit: DispatchTimeInterval = .seconds(10)) -> Bool {
        while !log.contains(event) {
            if changed.wait(timeout: .now() + limit) == .timedOut { return log.contains(event) }
        }
        return true
    }

    private func note(_ event: String) {
        events.withLock { $0.append(event) }
        changed.signal()
    }

    /// Answers what `/pending` has collected, on the loop.
    func answerPending(_ text: String) {
        let exchanges = pending
        pending = []
        for exchange in exchanges { note("answered pending: \(exchange.respond(200, body: Array(text.utf8)))") }
    }

    func requestHeadReceived(_ connection: HTTPConnection) {
        let request = connection.request
        note("\(request.method.name) \(String(decoding: request.target, as: UTF8.self))")
        switch request.pathSegments.first?.text {
        case "early": connection.respond(404, body: Array("early".utf8))
        case "small":
            connection.bodyBytesMax = 10
            connection.collectsBody = true
        case "large":
            connection.bodyBytesMax = 64 << 20
            connection.collectsBody = true
        default: connection.collectsBody = true
        }
    }

    func requestBodyReceived(_ connection: HTTPConnection, _ bytes: UnsafeRawBufferPointer) {
        if connection.request.pathSegments.first?.text == "slow-body" {
            connection.pauseBody()
            let timer = LoopTimer(loop: loop) { connection.resumeBody() }
            timers.append(timer)
            timer.start(after: .milliseconds(1))
        }
    }

    func requestEnded(_ connection: HTTPConnection) {
        let request = connection.request
        switch request.pathSegments.first?.text {
        case "info":
            let segments = request.pathSegments.texts.joined(separator: "|")
            let query = request.queryItems.map { "\($0.key)=\($0.value)" }.joined(separator: "|")
            let header = request.headerText("x-test") ?? "none"
            connection.respond(200, body: Array("\(request.method.name) \(segments) ? \(query) ; \(header)".utf8))
        case "pending":
            pending.append(connection.exchange)
            note("pending")
        case "later":
            let exchange = connection.exchange
            let timer = LoopTimer(loop: loop) { exchange.respond(200, body: Array("later".utf8)) }
            timers.append(timer)
            timer.start(after: .milliseconds(1))
        case "stream":
            streamedLeft = Int(request.queryItems["bytes"] ?? "0")!
            let length = request.queryItems["length"].flatMap { Int($0) }
            connection.begin(200, contentLength: length)
            connection.onDrain = { [unowned self, unowned connection] in pump(connection) }
            pump(connection)
        case "flood":
            connection.begin(200)
            let block = [UInt8](repeating: 1, count: 65536)
            var count = 0
            while connection.exchange.isOpen, count < 100_000 {
                connection.write(block)
                count += 1
            }
            note("flood ended")
        case "fail":
            connection.begin(200)
            connection.write(Array("half".utf8))
            connection.fail()
        case "twice":
            let exchange = connection.exchange
            exchange.respond(200, body: Array("once".utf8))
            note("second: \(exchange.respond(200, body: Array("again".utf8)))")
        case "split":
            connection.respond(200, body: []) { $0.add("X-Evil", "a\r\nX-Injected: 1\u{0}b") }
        default: connection.respond(200, body: connection.takeBody())
        }
    }

    private func pump(_ connection: HTTPConnection) {
        let block = [UInt8](repeating: UInt8(ascii: "x"), count: 16384)
        while streamedLeft > 0 {
            let count = min(streamedLeft, block.count)
            streamedLeft -= count
            let hasRoom = connection.write(Array(block[..<count]))
            queuedMax.withLock { $0 = max($0, connection.queuedByteCount) }
            if !hasRoom { return }
        }
        connection.end()
    }

    func requestAborted(_ connection: HTTPConnection, _ reason: HTTPAbort) {
        note("aborted \(reason)")
        if connection.request.pathSegments.first?.text == "small" {
            connection.respond(413, body: Array("own words".utf8))
        }
    }

    func connectionClosed(_ connection: HTTPConnection) {
        for timer in timers { timer.close() }
        timers = []
        note("closed")
    }
}

/// A blocking client that sends and reads raw bytes.
final class RawClient {
    let descriptor: CInt
    private var pending: [UInt8] = []

    struct Answer: Equatable {
        var status: Int
        var fields: [String: String]
        var body: [UInt8]
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    init(port: Int, receiveBufferBytes: CInt? = nil) {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var one: CInt = 1
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if var size = receiveBufferBytes { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(status == 0, "connect: \(errno)")
    }

    init(descriptor: CInt) { self.descriptor = descriptor }

    deinit { Glibc.close(descriptor) }

    func send(_ text: String) { send(Array(text.utf8)) }
    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }
    func endSending() { shutdown(descriptor, CInt(SHUT_WR)) }
    /// Closes with a reset.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        shutdown(descriptor, CInt(SHUT_RDWR))
    }

    /// One read; nil at the end, after an error, or after 10 s.
    func readSome() -> [UInt8]? {
        var block = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &block, block.count, 0)
        return count > 0 ? Array(block[..<count]) : nil
    }

    /// Everything until the server closes. Nil if it does not within 10 s.
    func readToEnd() -> [UInt8]? {
        while true {
            var block = [UInt8](repeating: 0, count: 65536)
            let count = recv(descriptor, &block, block.count, 0)
            if count == 0 { return pending }
            if count < 0 { return errno == EAGAIN ? nil : pending }
            pending += block[..<count]
        }
    }

    /// One answer; nil if none comes whole.
    func readAnswer(toHead isHead: Bool = false) -> Answer? {
        while true {
            if let (answer, used) = Self.parse(pending, isHead: isHead, isEnd: false) {
                pending.removeFirst(used)
                return answer
            }
            guard let more = readSome() else {
                guard let (answer, used) = Self.parse(pending, isHead: isHead, isEnd: true) else { return nil }
                pending.removeFirst(used)
                return answer
            }
            pending += more
        }
    }

    /// All answers until the server closes.
    func readAnswersToEnd() -> [Answer] {
        guard var bytes = readToEnd() else { return [] }
        var answers: [Answer] = []
        while let (answer, used) = Self.parse(bytes, isHead: false, isEnd: true) {
            answers.append(answer)
            bytes.removeFirst(used)
        }
        return answers
    }

    static func parse(_ bytes: [UInt8], isHead: Bool, isEnd: Bool) -> (Answer, Int)? {
        guard let headEnd = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: bytes[..<headEnd.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let status = Int(lines[0].split(separator: " ")[1])!
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        var rest = bytes[headEnd.upperBound...]
        if isHead || status == 204 || status == 100 || status == 304 {
            return (Answer(status: status, fields: fields, body: []), headEnd.upperBound)
        }
        if let length = fields["content-length"].flatMap({ Int($0) }) {
            guard rest.count >= length else { return nil }
            return (
                Answer(status: status, fields: fields, body: Array(rest.prefix(length))), headEnd.upperBound + length
            )
        }
        guard fields["transfer-encoding"] == "chunked" else {
            return isEnd ? (Answer(status: status, fields: fields, body: Array(rest)), bytes.count) : nil
        }
        var body: [UInt8] = []
        while let lineEnd = rest.firstRange(of: Array("\r\n".utf8)) {
            guard let size = Int(String(decoding: rest[..<lineEnd.lowerBound], as: UTF8.self), radix: 16) else {
                return nil
            }
            rest = rest[lineEnd.upperBound...]
            guard rest.count >= size + 2 else { return nil }
            body += rest.prefix(size)
            rest = rest.dropFirst(size + 2)
            if size == 0 { return (Answer(status: status, fields: fields, body: body), rest.startIndex) }
        }
        return nil
    }
}
