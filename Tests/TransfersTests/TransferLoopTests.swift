import Domain
import Foundation
import Glibc
import Loop
import TestSupport
import Testing
import Transfers

@Suite("Requests to elsewhere")
struct TransferLoopTests {
    struct Echo: Decodable {
        var method: String
        var query: String
        var headers: [String: String]
        var body: String
    }

    /// With a loop that is closed afterwards.
    private func withTransfers<Value>(
        connectionsMax: Int = 64, waitingMax: Int = 256, _ body: (TransferLoop) async throws -> Value
    ) async throws -> Value {
        let transfers = TransferLoop(connectionsMax: connectionsMax, waitingMax: waitingMax)
        defer { transfers.close() }
        return try await body(transfers)
    }

    private func send(_ request: TransferRequest) async throws -> TransferAnswer {
        try await withTransfers { try await $0.send(request) }
    }

    /// The error of a request that has to fail.
    private func failure(_ request: TransferRequest) async throws -> TransferError {
        try await withTransfers { transfers in try await failure(request, on: transfers) }
    }

    private func failure(_ request: TransferRequest, on transfers: TransferLoop) async throws -> TransferError {
        do throws(TransferError) {
            let answer = try await transfers.send(request)
            Issue.record("there was an answer: \(answer)")
            return .closed
        } catch {
            return error
        }
    }

    private func expect(_ status: Int, from url: String, on transfers: TransferLoop) async throws {
        let answer = try await transfers.send(TransferRequest(url: url))
        #expect(answer.status == status)
    }

    // MARK: - Requests and answers

    @Test("method, headers and body arrive as they were given, and nothing that was not", arguments: ["POST", "PUT"])
    func request(method: String) async throws {
        let server = try TestServer()
        let request = TransferRequest(
            url: server.url("/echo?a=b"), method: method,
            headers: [("Content-Type", "application/json"), ("webhook-id", "größe"), ("X-Empty", "")],
            body: Array(#"{"x":1}"#.utf8))
        let echo = try await send(request).json(as: Echo.self)
        #expect(echo.method == method && echo.query == "a=b" && echo.body == #"{"x":1}"#)
        #expect(
            Set(echo.headers.keys) == [
                "host", "user-agent", "accept", "content-length", "content-type", "webhook-id", "x-empty",
            ])
        #expect(echo.headers["content-type"] == "application/json" && echo.headers["x-empty"] == "")
        #expect(echo.headers["user-agent"] == "roost" && echo.headers["content-length"] == "7")
    }

    @Test("a body of any size arrives whole", arguments: [0, 1, 100_000, 5_000_000])
    func bodySize(count: Int) async throws {
        let server = try TestServer()
        let body = [UInt8](repeating: 7, count: count)
        #expect(try await send(TransferRequest(url: server.url("/length"), body: body)).text == "\(count)")
    }

    @Test(
        "every status is an answer, and Retry-After counts in seconds",
        arguments: [
            ("200", 200, nil), ("404", 404, nil), ("500", 500, nil), ("503,7", 503, .seconds(7)),
            ("429, 12 ", 429, .seconds(12)), ("429,-1", 429, nil), ("429,1234567890", 429, nil),
            ("503,Fri, 31 Dec 2027 23:59:59 GMT", 503, nil),
        ] as [(String, Int, Interval?)])
    func status(query: String, status: Int, retryAfter: Interval?) async throws {
        let server = try TestServer()
        let url = server.url("/status?" + query.replacing(" ", with: "%20"))
        let answer = try await send(TransferRequest(url: url))
        #expect(answer == TransferAnswer(status: status, body: [], retryAfter: retryAfter))
    }

    @Test("a redirect is an answer, and is not followed")
    func redirect() async throws {
        let server = try TestServer()
        #expect(try await send(TransferRequest(url: server.url("/redirect"))).status == 307)
        #expect(try await server.counts()["requests"] == 1)
    }

    @Test("what is said before the answer is none of it")
    func earlyHints() async throws {
        let server = try TestServer()
        let answer = try await send(TransferRequest(url: server.url("/continued")))
        #expect(answer == TransferAnswer(status: 200, body: Array("at last".utf8), retryAfter: nil))
    }

    @Test("the first 1024 bytes of an answer are kept", arguments: [0, 1, 1024, 1025, 1 << 20])
    func body(count: Int) async throws {
        let server = try TestServer()
        let answer = try await send(TransferRequest(url: server.url("/large?\(count)")))
        #expect(answer.status == 200 && answer.body == [UInt8](repeating: 0x78, count: min(count, 1024)))
    }

    @Test("a huge answer is not read to its end, and its status counts")
    func huge() async throws {
        let server = try TestServer()
        let answer = try await send(TransferRequest(url: server.url("/huge")))
        #expect(answer.status == 200 && answer.text == String(repeating: "0123456789abcdef", count: 64))
        try await server.until { $0["now"] == 0 }
        // What the sockets held comes on top of the 1 MiB.
        #expect(try await server.counts()["huge"]! < 64 << 20)
    }

    // MARK: - Connections

    @Test("a connection is used again, also after one that the other side closed without a word")
    func reuse() async throws {
        let server = try TestServer()
        try await withTransfers { transfers in
            for _ in 1...5 { try await self.expect(204, from: server.url("/short"), on: transfers) }
            let connections = try await server.counts()["connections"]
            #expect(connections == 1)
            for _ in 1...5 { try await self.expect(200, from: server.url("/silent_end"), on: transfers) }
            try await self.expect(204, from: server.url("/short"), on: transfers)
        }
    }

    @Test("two hundred requests at once are all answered, over no more connections than allowed")
    func bound() async throws {
        let server = try TestServer()
        try await withTransfers(connectionsMax: 8) { transfers in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 1...200 {
                    group.addTask { try await transfers.send(TransferRequest(url: server.url("/short"))).status }
                }
                for try await status in group { #expect(status == 204) }
            }
            let counts = try await server.counts()
            #expect(counts["requests"] == 200)
            #expect((2...8).contains(counts["together"]!) && counts["connections"]! <= 8)
        }
    }

    @Test("idle connections make room for one to elsewhere")
    func eviction() async throws {
        let servers = try (1...3).map { _ in try TestServer() }
        try await withTransfers(connectionsMax: 1) { transfers in
            for _ in 1...3 {
                for server in servers { try await self.expect(204, from: server.url("/short"), on: transfers) }
            }
        }
    }

    @Test("more than may wait are refused at once, and those that wait are not harmed")
    func tooMany() async throws {
        let server = try TestServer()
        try await withTransfers(connectionsMax: 2, waitingMax: 3) { transfers in
            try await withThrowingTaskGroup(of: Result<TransferAnswer, TransferError>.self) { group in
                for _ in 1...10 {
                    group.addTask {
                        do throws(TransferError) {
                            return .success(try await transfers.send(TransferRequest(url: server.url("/hold"))))
                        } catch {
                            return .failure(error)
                        }
                    }
                }
                // Nothing is answered before `release`, so the first to come back are those that were refused.
                for _ in 1...5 { #expect(try await group.next() == .failure(.tooManyWaiting(limit: 5))) }
                try await server.release()
                for try await result in group { #expect(try result.get().status == 200) }
            }
            try await self.expect(204, from: server.url("/short"), on: transfers)
        }
    }

    @Test("it is called from a task of a loop, which goes on there")
    func fromLoop() async throws {
        let server = try TestServer()
        let transfers = TransferLoop()
        defer { transfers.close() }
        try await withLoop { loop in
            loop.spawn {
                let answer = try? await transfers.send(TransferRequest(url: server.url("/short")))
                loop.checkIsolated()
                #expect(answer?.status == 204)
                loop.stop()
            }
        }
    }

    // MARK: - Failures

    @Test(
        "what cannot be sent is refused with the reason",
        arguments: [
            (TransferRequest(url: ""), "the URL must be"), (TransferRequest(url: "http://a b/"), "visible ASCII"),
            (TransferRequest(url: "http://größe/"), "visible ASCII"),
            (TransferRequest(url: "http://a/\u{0}"), "visible ASCII"),
            (TransferRequest(url: "http://a/" + String(repeating: "a", count: 8192)), "8192"),
            (TransferRequest(url: "http://"), "URL"), (TransferRequest(url: "http://[::1/"), "URL"),
            (TransferRequest(url: "127.0.0.1"), "http://"),
            (TransferRequest(url: "https:a"), "URL"),
            (TransferRequest(url: "file:///etc/passwd"), "http://"),
            (TransferRequest(url: "ftp://127.0.0.1/"), "http://"),
            (TransferRequest(url: "gopher://127.0.0.1/"), "http://"),
            (TransferRequest(url: "http://a/", method: "GET /\r\n"), "no method"),
            (TransferRequest(url: "http://a/", headers: [("a b", "c")]), "'a b'"),
            (TransferRequest(url: "http://a/", headers: [("", "c")]), "no name"),
            (TransferRequest(url: "http://a/", headers: [("a", "b\r\nc: d")]), "control character"),
            (TransferRequest(url: "http://a/", headers: [("Host", "b")]), "Host"),
            (TransferRequest(url: "http://a/", headers: [("content-LENGTH", "3")]), "content-LENGTH"),
            (
                TransferRequest(url: "http://a/", headers: (0...64).map { ("x\($0)", "y") }),
                "more than 64 headers"
            ),
            (TransferRequest(url: "http://a/", caFile: ""), "CA file"),
        ])
    func badRequest(request: TransferRequest, words: String) async throws {
        guard case .badRequest(let reason) = try await failure(request) else {
            Issue.record("\(request) is no bad request")
            return
        }
        #expect(reason.contains(words))
    }

    @Test("a host that does not exist could not be resolved")
    func unknownHost() async throws {
        // However long the machine's resolver takes to say so.
        let request = TransferRequest(
            url: "http://nothing.invalid/", timeout: .seconds(90), connectTimeout: .seconds(90))
        guard case .couldNotResolve(let reason) = try await failure(request) else {
            Issue.record("nothing.invalid was resolved, or another error came")
            return
        }
        #expect(reason.contains("nothing.invalid"))
    }

    @Test("a port on which nobody listens gives no connection")
    func refused() async throws {
        let port = try freePort()
        for host in ["127.0.0.1", "localhost"] {
            guard case .couldNotConnect(let reason) = try await failure(TransferRequest(url: "http://\(host):\(port)/"))
            else {
                Issue.record("there was a connection to \(host), or another error came")
                continue
            }
            #expect(reason.contains("\(port)"))
        }
    }

    @Test(
        "an answer that does not come, or does not end, is given up after the timeout",
        arguments: [("/hold", "no answer within 0.2 s"), ("/drip", "did not end within 0.2 s")])
    func timeout(path: String, words: String) async throws {
        let server = try TestServer()
        let request = TransferRequest(url: server.url(path), timeout: .milliseconds(200))
        guard case .timedOut(let reason) = try await failure(request) else {
            Issue.record("it did not time out")
            return
        }
        #expect(reason.contains(words))
    }

    @Test("a server that takes no connection is given up after the connect timeout")
    func connectTimeout() async throws {
        // A queue of one, which the first connection fills; the kernel drops what else would connect.
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(listener) }
        var address = loopbackAddress()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(listener, $0, length) == 0 && listen(listener, 0) == 0)
                #expect(getsockname(listener, $0, &length) == 0)
            }
        }
        let filling = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(filling) }
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { #expect(connect(filling, $0, length) == 0) }
        }
        let port = UInt16(bigEndian: address.sin_port)
        let request = TransferRequest(url: "http://127.0.0.1:\(port)/", connectTimeout: .milliseconds(200))
        guard case .timedOut(let reason) = try await failure(request) else {
            Issue.record("it did not time out")
            return
        }
        #expect(reason.lowercased().contains("connect"))
    }

    @Test("the timeout passes also for a request that waits for a connection")
    func timeoutWhileWaiting() async throws {
        let server = try TestServer()
        try await withTransfers(connectionsMax: 1) { transfers in
            async let first = transfers.send(TransferRequest(url: server.url("/hold"), timeout: .seconds(60)))
            try await server.until { $0["held"] == 1 }
            let error = try await failure(
                TransferRequest(url: server.url("/short"), timeout: .milliseconds(100)), on: transfers)
            #expect(error == .timedOut(reason: "no connection was free within 0.1 s"))
            try await server.release()
            #expect(try await first.status == 200)
        }
    }

    @Test(
        "a connection that ends too early, and an answer that is no HTTP, are interruptions",
        arguments: ["/early", "/half", "/nonsense", "/heads"])
    func interrupted(path: String) async throws {
        let server = try TestServer()
        guard case .interrupted(let reason) = try await failure(TransferRequest(url: server.url(path))) else {
            Issue.record("\(path) was no interruption")
            return
        }
        #expect(!reason.isEmpty)
        if path == "/heads" { #expect(reason.contains("65536 bytes")) }
    }

    @Test("close ends what is under way and what waits, and refuses what comes later")
    func close() async throws {
        let server = try TestServer()
        let transfers = TransferLoop(connectionsMax: 4)
        try await withThrowingTaskGroup(of: TransferError.self) { group in
            for index in 1...10 {
                group.addTask {
                    try await failure(
                        TransferRequest(url: server.url(index % 2 == 0 ? "/hold" : "/drip")), on: transfers)
                }
            }
            try await server.until { $0["held"] == 4 }
            transfers.close()
            for try await error in group { #expect(error == .closed) }
        }
        #expect(try await failure(TransferRequest(url: server.url("/echo")), on: transfers) == .closed)
        transfers.close()

        let unused = TransferLoop()
        unused.close()
        #expect(try await failure(TransferRequest(url: server.url("/echo")), on: unused) == .closed)
    }

    @Test("close may come at any moment")
    func closeRaces() async throws {
        let server = try TestServer()
        for turn in 0..<40 {
            let transfers = TransferLoop(connectionsMax: 2)
            await withTaskGroup { group in
                for _ in 1...6 {
                    group.addTask {
                        do throws(TransferError) {
                            #expect(try await transfers.send(TransferRequest(url: server.url("/short"))).status == 204)
                        } catch {
                            #expect(error == .closed)
                        }
                    }
                }
                for _ in 0..<turn % 8 { await Task.yield() }
                transfers.close()
            }
        }
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
private func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = loopbackAddress()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    try withUnsafeMutablePointer(to: &address) {
        try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            try #require(bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0)
        }
    }
    return Int(UInt16(bigEndian: address.sin_port))
}

/// Of port 0.
private func loopbackAddress() -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
}
