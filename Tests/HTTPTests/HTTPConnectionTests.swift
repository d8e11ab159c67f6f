import Domain
import Foundation
import HTTP
import Loop
import Synchronization
import Testing

/// A real server and raw bytes.
@Suite struct HTTPConnectionTests {
    private func with(
        _ limits: HTTPLimits = HTTPLimits(), connectionsMax: Int = 100, _ body: (HTTPTestServer) throws -> Void
    ) rethrows {
        let server = HTTPTestServer(limits, connectionsMax: connectionsMax)
        defer { server.stop() }
        try body(server)
    }

    private func request(_ target: String, method: String = "GET", fields: String = "", body: String = "") -> String {
        let length = method == "GET" || method == "HEAD" ? "" : "Content-Length: \(body.utf8.count)\r\n"
        return "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n\(length)\(fields)\r\n\(body)"
    }

    private static let smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

    // MARK: Shapes

    @Test("a refused head gets one answer and the connection is closed, whatever follows", arguments: refusedShapes)
    func refusedHeads(_ shape: RefusedShape) {
        with { server in
            let client = RawClient(port: server.port)
            client.send(shape.bytes + Array(Self.smuggled.utf8))
            let answers = client.readAnswersToEnd()
            #expect(answers.map(\.status) == [shape.status])
            #expect(answers.first?.fields["connection"] == "close")
            #expect(server.delegate.log.isEmpty, "the delegate must not see it")
        }
    }

    @Test(
        "bad chunked framing gets one answer and the connection is closed, whatever follows", arguments: refusedChunks)
    func refusedBodies(_ shape: RefusedShape) {
        with { server in
            let client = RawClient(port: server.port)
            client.send(shape.bytes + Array(Self.smuggled.utf8))
            let answers = client.readAnswersToEnd()
            #expect(answers.map(\.status) == [400])
            #expect(server.delegate.await("aborted refused(HTTP.HTTPRefusal.badChunk)"))
            #expect(server.delegate.log.filter { $0.contains("/") } == ["POST /echo"])
        }
    }

    @Test("an unusual but right request is served, and the connection goes on", arguments: acceptedShapes)
    func accepted(_ name: String, _ text: String, _ body: String) throws {
        try with { server in
            let client = RawClient(port: server.port)
            client.send(text)
            let answer = try #require(client.readAnswer())
            #expect(answer.status == 200 && answer.text == body)
            if text.contains("HTTP/1.1") {
                client.send(request("/info/next"))
                #expect(client.readAnswer()?.text == "GET info|next ?  ; none")
            }
        }
    }

    // MARK: Bodies and pipelining

    @Test("requests that arrive one byte at a time are served")
    func byteByByte() throws {
        with { server in
            let client = RawClient(port: server.port)
            for byte in Array(
                (request("/echo", method: "POST", body: "hello") + request("/info/a%2Fb?x=1", fields: "X-Test: t\r\n"))
                    .utf8)
            {
                client.send([byte])
            }
            #expect(client.readAnswer()?.text == "hello")
            #expect(client.readAnswer()?.text == "GET info|a/b ? x=1 ; t")
        }
    }

    @Test("pipelined requests are answered in order, also when answers come later", arguments: ["/info/1", "/later"])
    func pipelining(_ first: String) throws {
        with { server in
            let client = RawClient(port: server.port)
            var text = ""
            for index in 0..<50 { text += request(first) + request("/echo", method: "POST", body: "body \(index)") }
            client.send(text)
            for index in 0..<50 {
                #expect(client.readAnswer()?.status == 200)
                #expect(client.readAnswer()?.text == "body \(index)")
            }
        }
    }

    @Test("a megabyte of pipelined requests behind a slow answer is not read into memory")
    func pipeliningIsBounded() throws {
        with { server in
            let client = RawClient(port: server.port)
            client.send(request("/pending"))
            #expect(server.delegate.await("pending"))
            let one = request("/echo", method: "POST", body: String(repeating: "p", count: 1000))
            let sender = DispatchQueue(label: "sender")
            let count = 2000
            sender.async { [client = UncheckedBox(client)] in client.value.send(String(repeating: one, count: count)) }
            server.onLoop { _ in server.delegate.answerPending("late") }
            #expect(client.readAnswer()?.text == "late")
            for _ in 0..<count { #expect(client.readAnswer()?.body.count == 1000) }
            sender.sync {}
        }
    }

    @Test("a large body arrives whole", arguments: [false, true])
    func largeBody(isChunked: Bool) throws {
        with { server in
            let client = RawClient(port: server.port)
            let body = [UInt8]((0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let sender = DispatchQueue(label: "sender")
            sender.async { [client = UncheckedBox(client)] in
                if isChunked {
                    client.value.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for start in stride(from: 0, to: body.count, by: 70_001) {
                        let piece = body[start..<min(start + 70_001, body.count)]
                        client.value.send(
                            Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
                    }
                    client.value.send("0\r\n\r\n")
                } else {
                    client.value.send(
                        Array("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
                }
            }
            #expect(client.readAnswer()?.body == body)
            sender.sync {}
        }
    }

    @Test("a delegate can pause a body")
    func pausedBody() throws {
        with { server in
            let client = RawClient(port: server.port)
            let body = String(repeating: "z", count: 300_000)
            client.send(request("/slow-body", method: "POST", body: body))
            #expect(client.readAnswer()?.body.count == 300_000)
        }
    }

    @Test("a client that waits for 100 Continue gets it, unless the answer comes first")
    func expectContinue() throws {
        with { server in
            let client = RawClient(port: server.port)
            client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            #expect(client.readAnswer()?.status == 100)
            client.send("hello")
            #expect(client.readAnswer()?.text == "hello")
            // A body that is there already needs no invitation.
            client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nagain")
            #expect(client.readAnswer()?.text == "again")
            client.send("POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            let answers = client.readAnswersToEnd()
            #expect(answers.map(\.status) == [404] && answers.first?.fields["connection"] == "close")
        }
    }

    @Test(
        "HEAD has the header of GET and no body",
        arguments: ["/echo", "/stream?bytes=1000", "/stream?bytes=1000&length=1000", "/early"])
    func head(_ target: String) throws {
        try with { server in
            let client = RawClient(port: server.port)
            client.send(request(target, method: "HEAD") + request("/info"))
            let answer = try #require(client.readAnswer(toHead: true))
            #expect(answer.status == (target == "/early" ? 404 : 200))
            #expect(client.readAnswer()?.text == "GET info ?  ; none")
        }
    }

    @Test("HTTP/1.0 is closed after the answer unless it asks not to be")
    func oldVersion() throws {
        try with { server in
            let plain = RawClient(port: server.port)
            plain.send("GET /info HTTP/1.0\r\n\r\n")
            #expect(plain.readAnswersToEnd().first?.fields["connection"] == "close")
            let kept = RawClient(port: server.port)
            for _ in 0..<2 {
                kept.send("GET /info HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
                #expect(kept.readAnswer()?.fields["connection"] == "keep-alive")
            }
            let streamed = RawClient(port: server.port)
            streamed.send("GET /stream?bytes=100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let answer = try #require(streamed.readAnswersToEnd().first)
            #expect(answer.fields["transfer-encoding"] == nil && answer.body.count == 100_000)
        }
    }

    @Test("Connection: close is honoured, also in a list")
    func connectionClose() {
        with { server in
            let client = RawClient(port: server.port)
            client.send(request("/info", fields: "Connection: foo, Close\r\n") + Self.smuggled)
            #expect(client.readAnswersToEnd().map(\.status) == [200])
            #expect(!server.delegate.log.contains("GET /smuggled"))
        }
    }

    @Test("an answer before the end of a small body keeps the connection; of a large one closes it readably")
    func earlyAnswer() throws {
        with { server in
            let client = RawClient(port: server.port)
            client.send(
                request("/early", method: "POST", body: String(repeating: "e", count: 50_000)) + request("/info"))
            #expect(client.readAnswer()?.status == 404)
            #expect(client.readAnswer()?.status == 200)
            client.send(request("/early", method: "POST", body: String(repeating: "e", count: 8_000_000)))
            let answers = client.readAnswersToEnd()
            #expect(answers.map(\.status) == [404] && answers.first?.fields["connection"] == "close")
        }
    }

    @Test("a body over the limit is refused by length before it is read, and by count when it is chunked")
    func bodyLimit() throws {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 1000
        with(limits) { server in
            let byLength = RawClient(port: server.port)
            byLength.send(request("/echo", method: "POST", body: String(repeating: "b", count: 1001)))
            #expect(byLength.readAnswersToEnd().map(\.status) == [413])
            let fits = RawClient(port: server.port)
            fits.send(request("/echo", method: "POST", body: String(repeating: "b", count: 1000)))
            #expect(fits.readAnswer()?.body.count == 1000)
            let chunked = RawClient(port: server.port)
            chunked.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<3 { chunked.send("190\r\n\(String(repeating: "c", count: 400))\r\n") }
            #expect(chunked.readAnswersToEnd().map(\.status) == [413])
            let raised = RawClient(port: server.port)
            raised.send(request("/large", method: "POST", body: String(repeating: "b", count: 100_000)))
            #expect(raised.readAnswer()?.body.count == 100_000)
            let own = RawClient(port: server.port)
            own.send(request("/small", method: "POST", body: "12345678901"))
            #expect(own.readAnswersToEnd().map(\.text) == ["own words"])
        }
    }

    // MARK: Answers

    @Test("an answer has a date, a length, and nothing a handler's value could smuggle in")
    func header() throws {
        try with { server in
            let client = RawClient(port: server.port)
            client.send(request("/split"))
            let answer = try #require(client.readAnswer())
            #expect(answer.fields["x-evil"] == "a  X-Injected: 1 b" && answer.fields["x-injected"] == nil)
            #expect(answer.fields["date"]?.hasSuffix("GMT") == true && answer.fields["content-length"] == "0")
        }
    }

    @Test("an exchange is answered once")
    func once() {
        with { server in
            let client = RawClient(port: server.port)
            client.send(request("/twice") + request("/info"))
            #expect(client.readAnswer()?.text == "once")
            #expect(client.readAnswer()?.text == "GET info ?  ; none")
            #expect(server.delegate.log.contains("second: false"))
        }
    }

    @Test(
        "a streamed answer arrives whole",
        arguments: [
            "/stream?bytes=0", "/stream?bytes=1", "/stream?bytes=3000000", "/stream?bytes=3000000&length=3000000",
        ])
    func streamed(_ target: String) throws {
        try with { server in
            let client = RawClient(port: server.port)
            client.send(request(target) + request("/info"))
            let answer = try #require(client.readAnswer())
            #expect(answer.body.count == Int(target.split(separator: "=")[1].split(separator: "&")[0])!)
            #expect(client.readAnswer()?.status == 200)
        }
    }

    @Test(
        "an answer that fails, or falls short of its length, is visibly cut",
        arguments: ["/fail", "/stream?bytes=5&length=10", "/stream?bytes=10&length=5"])
    func failed(_ target: String) throws {
        try with { server in
            let client = RawClient(port: server.port)
            client.send(request(target))
            let text = String(decoding: try #require(client.readToEnd()), as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 200 OK") && !text.contains("\r\n0\r\n\r\n"))
            #expect(RawClient.parse(Array(text.utf8), isHead: false, isEnd: true) == nil)
        }
    }

    @Test("a client that never reads holds a bounded buffer, and is closed after the stall limit")
    func neverReads() throws {
        var limits = HTTPLimits()
        limits.writeStallTimeout = .milliseconds(200)
        with(limits) { server in
            let client = RawClient(port: server.port, receiveBufferBytes: 4096)
            client.send(request("/stream?bytes=1000000000"))
            #expect(server.delegate.await("aborted notReading"))
            #expect(server.delegate.await("closed"))
            #expect(server.delegate.queuedBytesMax < limits.outputBytesMax + 20_000)
        }
    }

    @Test("a writer that ignores back-pressure is stopped")
    func flood() throws {
        with { server in
            let client = RawClient(port: server.port, receiveBufferBytes: 4096)
            client.send(request("/flood"))
            #expect(server.delegate.await("flood ended"))
            #expect(server.delegate.await("aborted notReading"))
        }
    }

    @Test("a client that pipelines and never reads costs one answer, not one for each request")
    func pipelinesAndNeverReads() throws {
        var limits = HTTPLimits()
        limits.writeStallTimeout = .milliseconds(200)
        with(limits) { server in
            let client = RawClient(port: server.port, receiveBufferBytes: 4096)
            client.send(String(repeating: request("/stream?bytes=8000000"), count: 20))
            #expect(server.delegate.await("aborted notReading"))
            #expect(server.delegate.log.filter { $0.hasPrefix("GET") }.count == 1)
        }
    }

    // MARK: Clients that leave or dawdle

    @Test(
        "a client that leaves in its body or before its answer aborts the exchange",
        arguments: [
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
            "GET /pending HTTP/1.1\r\nHost: a\r\n\r\n",
        ], [false, true])
    func leaves(_ text: String, byReset: Bool) throws {
        with { server in
            do {
                let client = RawClient(port: server.port)
                client.send(text)
                #expect(server.delegate.await(String(text.split(separator: " HTTP")[0])))
                if byReset { client.reset() }
            }
            #expect(server.delegate.await("aborted disconnected"))
            #expect(server.delegate.await("closed"))
            // What was kept for later finds nobody, and harms nobody.
            server.onLoop { _ in server.delegate.answerPending("too late") }
            #expect(!server.delegate.log.contains("answered pending: true"))
            let next = RawClient(port: server.port)
            next.send(request("/info"))
            #expect(next.readAnswer()?.status == 200)
        }
    }

    @Test("a client that leaves between requests, or in a head, is forgotten", arguments: ["", "GET / HT", "\r\n"])
    func leavesEarly(_ text: String) {
        with { server in
            do { RawClient(port: server.port).send(text) }
            #expect(server.delegate.await("closed"))
            #expect(!server.delegate.log.contains { $0.hasPrefix("aborted") })
        }
    }

    @Test(
        "a slow head or body is answered 408, an idle connection is closed silently",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: loc", [408]),
            ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal", [408]), ("", []),
            ("GET /info HTTP/1.1\r\nHost: a\r\n\r\n", [200]),
            ("GET /info HTTP/1.1\r\nHost: a\r\n\r\nGET /in", [200, 408]),
        ] as [(String, [Int])])
    func timeouts(_ text: String, statuses: [Int]) {
        var limits = HTTPLimits()
        limits.headTimeout = .milliseconds(100)
        limits.bodyIdleTimeout = .milliseconds(100)
        limits.keepAliveIdleTimeout = .milliseconds(100)
        limits.lingerTimeout = .milliseconds(100)
        with(limits) { server in
            let client = RawClient(port: server.port)
            client.send(text)
            #expect(client.readAnswersToEnd().map(\.status) == statuses)
            #expect(server.delegate.await("closed"))
        }
    }

    @Test("a head that trickles in does not extend its time")
    func trickle() {
        var limits = HTTPLimits()
        limits.headTimeout = .milliseconds(300)
        limits.lingerTimeout = .milliseconds(100)
        with(limits) { server in
            let client = RawClient(port: server.port)
            client.send("GET / HTTP/1.1\r\n")
            let sender = Thread { [client = UncheckedBox(client)] in
                repeat { client.value.send("a") } while !server.delegate.await("closed", for: .milliseconds(20))
            }
            sender.start()
            #expect(client.readAnswersToEnd().map(\.status) == [408])
        }
    }

    // MARK: Server

    @Test("connections over the limit are answered 503 and closed")
    func connectionLimit() throws {
        with(connectionsMax: 2) { server in
            let kept = (0..<2).map { _ in RawClient(port: server.port) }
            for client in kept {
                client.send(request("/info"))
                #expect(client.readAnswer()?.status == 200)
            }
            #expect(RawClient(port: server.port).readAnswersToEnd().map(\.status) == [503])
            kept[0].send(request("/info"))
            #expect(kept[0].readAnswer()?.status == 200)
        }
    }

    @Test("a drain closes idle connections, lets busy ones finish and then closes them")
    func drain() throws {
        with { server in
            let idle = RawClient(port: server.port)
            idle.send(request("/info"))
            #expect(idle.readAnswer()?.status == 200)
            let busy = RawClient(port: server.port)
            busy.send(request("/pending") + Self.smuggled)
            #expect(server.delegate.await("pending"))
            let drained = DispatchSemaphore(value: 0)
            server.onLoop { $0.drain(within: .seconds(20)) { drained.signal() } }
            #expect(idle.readToEnd() == [])
            server.onLoop { _ in server.delegate.answerPending("last") }
            let answers = busy.readAnswersToEnd()
            #expect(answers.map(\.text) == ["last"] && answers.first?.fields["connection"] == "close")
            busy.endSending()
            #expect(drained.wait(timeout: .now() + 10) == .success)
            #expect(!server.delegate.log.contains("GET /smuggled"))
        }
    }

    @Test("a drain that takes too long is cut off")
    func drainDeadline() throws {
        with { server in
            let busy = RawClient(port: server.port)
            busy.send(request("/pending"))
            #expect(server.delegate.await("pending"))
            let drained = DispatchSemaphore(value: 0)
            server.onLoop { $0.drain(within: .milliseconds(50)) { drained.signal() } }
            #expect(busy.readToEnd() == [])
            #expect(drained.wait(timeout: .now() + 10) == .success)
            #expect(server.delegate.log.contains("aborted shutDown"))
        }
    }

    @Test("answers to pipelined requests leave together when told to, and are not kept when nothing follows")
    func coalescing() throws {
        with(.worker) { server in
            let client = RawClient(port: server.port)
            client.send(request("/echo", method: "POST", body: "response") + request("/pending"))
            #expect(server.delegate.await("pending"))
            var flags = CInt(0)
            #expect(recv(client.descriptor, &flags, 1, CInt(MSG_DONTWAIT | MSG_PEEK)) == -1, "the first answer is held")
            server.onLoop { _ in server.delegate.answerPending("event") }
            let both = client.readSome().map { String(decoding: $0, as: UTF8.self) } ?? ""
            #expect(both.contains("response") && both.hasSuffix("event"), "one write")
            // Nothing, or only half a request, behind it: nothing is held.
            client.send(request("/echo", method: "POST", body: "alone"))
            #expect(client.readAnswer()?.text == "alone")
            client.send(request("/echo", method: "POST", body: "alone") + "GET /inf")
            #expect(client.readAnswer()?.text == "alone")
            client.send("o HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.readAnswer()?.status == 200)
        }
    }

    @Test("a connection can be one end of a socketpair, with heads of a megabyte")
    func socketPair() throws {
        try with { server in
            let pair = try Descriptor.socketPair()
            let client = RawClient(descriptor: pair.childs)
            let context = String(repeating: "c", count: 1_000_000)
            server.onLoop { http in
                let group = HTTPConnectionGroup(loop: http.group.loop, limits: .worker)
                let stream = try! Stream(loop: group.loop, pipeDescriptor: pair.ours)
                _ = HTTPConnection(stream: stream, group: group, delegate: server.delegate)
            }
            let sender = DispatchQueue(label: "sender")
            let text = request("/echo", method: "POST", fields: "X-Context: \(context)\r\n", body: "hello")
            sender.async { [client = UncheckedBox(client)] in client.value.send(text) }
            #expect(client.readAnswer()?.text == "hello")
            sender.sync {}
            client.endSending()
            #expect(client.readToEnd() == [])
        }
    }
}
