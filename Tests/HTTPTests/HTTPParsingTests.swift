import Foundation
import HTTP
import Testing

/// The parsers alone: every shape at every cut, and what the head says.
@Suite struct HTTPParsingTests {
    /// Feeds a head in two pieces, as a connection does; the second piece moves the first.
    private func verdict(_ bytes: [UInt8], cuts: [Int]) -> (refusal: HTTPRefusal?, request: HTTPRequest, length: Int?) {
        var parser = HeadParser()
        let request = HTTPRequest()
        for cut in cuts + [bytes.count] {
            let progress = Array(bytes[..<cut]).withUnsafeBytes {
                parser.advance(
                    $0.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!, $0.count, limits: HTTPLimits(), into: request)
            }
            switch progress {
            case .incomplete: continue
            case .refused(let refusal): return (refusal, request, nil)
            case .complete(let length): return (nil, request, length)
            }
        }
        return (nil, request, nil)
    }

    @Test("a refused head is refused wherever it is cut", arguments: refusedShapes)
    func refusedAtEveryCut(_ shape: RefusedShape) {
        let whole = verdict(shape.bytes, cuts: [])
        #expect(whole.refusal?.status == shape.status)
        for cut in stride(from: 0, to: shape.bytes.count, by: max(1, shape.bytes.count / 500)) {
            #expect(verdict(shape.bytes, cuts: [cut]).refusal == whole.refusal, "cut at \(cut)")
        }
        if shape.bytes.count < 1000 {
            #expect(
                verdict(shape.bytes, cuts: Array(0..<shape.bytes.count)).refusal == whole.refusal, "one byte at a time")
        }
    }

    @Test("an accepted head is accepted wherever it is cut", arguments: acceptedShapes)
    func acceptedAtEveryCut(_ name: String, _ text: String, _ body: String) {
        let bytes = Array(text.utf8)
        let whole = verdict(bytes, cuts: [])
        #expect(whole.refusal == nil && whole.length != nil)
        for cut in 0..<bytes.count {
            let halves = verdict(bytes, cuts: [cut])
            #expect(halves.length == whole.length && halves.request.contentLength == whole.request.contentLength)
            #expect(
                halves.request.isChunked == whole.request.isChunked
                    && halves.request.fieldCount == whole.request.fieldCount)
        }
        #expect(verdict(bytes, cuts: Array(0..<bytes.count)).length == whole.length)
    }

    @Test(
        "chunks decode to the same bytes wherever they are cut",
        arguments: acceptedShapes.filter { $0.1.contains("hunked\r\n") })
    func chunks(_ name: String, _ text: String, _ body: String) throws {
        let start = try #require(text.range(of: "\r\n\r\n")).upperBound
        let bytes = Array(text[start...].utf8)
        for cut in 0...bytes.count {
            #expect(decode([Array(bytes[..<cut]), Array(bytes[cut...])]) == Array(body.utf8), "cut at \(cut)")
        }
        #expect(decode(bytes.map { [$0] }) == Array(body.utf8))
        for missing in 1...bytes.count { #expect(decode([Array(bytes.dropLast(missing))]) == nil) }
    }

    @Test("a damaged head gets the same verdict wherever it is cut")
    func damaged() {
        let seed = UInt64.random(in: .min ... .max)
        print("HTTPParsingTests.damaged: seed \(seed)")
        var generator = SplitMix64(state: seed)
        let texts = acceptedShapes.map { Array($0.1.utf8) }
        let bytes: [UInt8] = Array("\r\n\t :,;/%09afGET\0\u{7F}é".utf8) + [0xFF]
        for _ in 0..<20_000 {
            var text = texts.randomElement(using: &generator)!
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let at = text.indices.randomElement(using: &generator)!
                switch Int.random(in: 0...2, using: &generator) {
                case 0: text[at] = bytes.randomElement(using: &generator)!
                case 1: text.insert(bytes.randomElement(using: &generator)!, at: at)
                default: text.remove(at: at)
                }
            }
            let whole = verdict(text, cuts: [])
            let cut = verdict(text, cuts: [Int.random(in: 0...text.count, using: &generator)])
            if whole.refusal != cut.refusal || whole.length != cut.length { Issue.record("\(text)") }
        }
    }

    /// Nil if the framing is bad or does not end.
    private func decode(_ pieces: [[UInt8]]) -> [UInt8]? {
        var decoder = ChunkDecoder()
        var body: [UInt8] = []
        for piece in pieces {
            var rest = piece[...]
            while !rest.isEmpty {
                switch rest.withUnsafeBytes({ decoder.step($0) }) {
                case .skip(let count): rest = rest.dropFirst(count)
                case .data(let count):
                    body += rest.prefix(count)
                    rest = rest.dropFirst(count)
                case .end: return body
                case .bad: return nil
                }
            }
        }
        return nil
    }

    @Test(
        "a path is split before it is decoded",
        arguments: [
            ("/", []), ("/a", ["a"]), ("/a/", ["a", ""]), ("//", ["", ""]), ("/a//b", ["a", "", "b"]),
            ("/a%2Fb/c", ["a/b", "c"]),
            ("/arn%3Aaws%3Alambda", ["arn:aws:lambda"]), ("/%E4%B8%AD", ["中"]), ("/a?b/c", ["a"]), ("/?x", []),
            ("/%252F", ["%2F"]),
            ("/a/b/c/d/e/f/g/h/i/j", ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]),
        ] as [(String, [String])])
    func paths(_ target: String, segments: [String]) {
        let bytes = Array("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        bytes.withUnsafeBytes { raw in
            var parser = HeadParser()
            let request = HTTPRequest()
            guard case .complete = parser.advance(raw.baseAddress!, raw.count, limits: HTTPLimits(), into: request)
            else {
                Issue.record("refused")
                return
            }
            #expect(request.pathSegments.texts == segments)
        }
    }

    @Test("a query keeps its order and its repeated keys")
    func query() {
        let text = Array(
            "Statuses=RUNNING&Statuses=FAILED&tagKeys=a&tagKeys=b%20c&flag&empty=&a+b=c+d&&x=1=2&%C3%A9=%26".utf8)
        text.withUnsafeBytes { raw in
            let items = QueryItems(raw: raw)
            #expect(items.all("Statuses") == ["RUNNING", "FAILED"])
            #expect(items.all("tagKeys") == ["a", "b c"])
            #expect(items["flag"] == "" && items["empty"] == "" && items["missing"] == nil)
            #expect(items["a+b"] == "c+d" && items["x"] == "1=2" && items["é"] == "&")
            #expect(Array(items).count == 9)
        }
    }

    @Test(
        "fields are found without regard to case, the first of several",
        arguments: [("x-a", "1"), ("x-b", "two words"), ("x-c", nil)] as [(String, String?)])
    func fields(_ name: String, value: String?) {
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX-b:  two words \r\n\r\n".utf8)
        bytes.withUnsafeBytes { raw in
            var parser = HeadParser()
            let request = HTTPRequest()
            _ = parser.advance(raw.baseAddress!, raw.count, limits: HTTPLimits(), into: request)
            switch name {
            case "x-a": #expect(request.headerText("x-a") == value && request.headerInteger("x-a") == 1)
            case "x-b": #expect(request.headerText("x-b") == value && request.header("x-b", is: "two words"))
            default: #expect(request.headerText("x-c") == value)
            }
        }
    }

    @Test(
        "loopback hosts, and nothing that looks like them",
        arguments: [
            ("localhost", true), ("LOCALHOST:7070", true), ("127.0.0.1", true), ("127.0.0.1:80", true),
            ("127.1.2.3", true), ("[::1]", true),
            ("[::1]:8080", true), ("localhost.evil.com", false), ("127.0.0.1.evil.com", false), ("evil.com", false),
            ("128.0.0.1", false),
            ("127.0.0", false), ("127.0.0.256", false), ("127.0.0.1:", true), ("127.0.0.1:x", false), ("[::2]", false),
            ("[::1]x", false),
            ("[::1", false), ("", false), ("localhost:80:80", false), ("0.0.0.0", false), ("127.0.0.1:123456", false),
        ])
    func loopback(_ host: String, expected: Bool) {
        Array(host.utf8).withUnsafeBytes { #expect(OriginGuard.isLoopback($0) == expected) }
    }

    @Test(
        "dates",
        arguments: [
            (0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), (784_111_777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (951_782_400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"),
            (1_795_434_701, "Date: Mon, 23 Nov 2026 11:51:41 GMT\r\n"),
            (4_107_542_399, "Date: Sun, 28 Feb 2100 23:59:59 GMT\r\n"),
            (4_107_542_400, "Date: Mon, 01 Mar 2100 00:00:00 GMT\r\n"),
        ] as [(Int64, String)])
    func dates(_ seconds: Int64, text: String) {
        let buffer = ByteBuffer()
        HTTPDate.appendField(secondsSince1970: seconds, to: buffer)
        #expect(String(decoding: buffer.bytes, as: UTF8.self) == text)
    }

    @Test(
        "numbers are appended in both bases", arguments: [0, 1, 9, 10, 15, 16, 255, 256, 4096, 65535, 1_000_000, .max])
    func numbers(_ value: Int) {
        let buffer = ByteBuffer()
        buffer.appendDecimal(value)
        buffer.append(" ")
        buffer.appendHexadecimal(value)
        #expect(String(decoding: buffer.bytes, as: UTF8.self) == "\(value) \(String(value, radix: 16))")
    }
}

struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
