#if canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The client side of the Runtime API on one connection: one slot of the worker.
///
/// Requests are answered in order, so the connection keeps a queue of what it waits for. A response and the `next`
/// after it leave in one write, and the host's acknowledgement of the one arrives together with the event of the other:
/// a warm invocation costs one read and one write.
///
///  1. Bytes `start..<end` of `buffer` were read and not yet consumed.
///  2. `awaited` lists the requests whose answers were not yet consumed, oldest first.
///
/// Used by one thread.
final class HostConnection {
    /// The host closed the connection, or is gone: the worker is not wanted any more.
    struct Closed: Error {}

    struct Invocation {
        var event: Event
        var context: InvocationContext
        /// The attempt's nonce, to be sent back; `nil` when the host gave none.
        var invocationID: String?
    }

    private enum Awaited {
        case next
        case acknowledgement(of: String)
    }

    private let socket: Int32
    private let next: [UInt8]
    private let host: String
    private var buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var awaited: [Awaited] = []

    /// Lambda hosts may send long client contexts; ours sends a few hundred bytes.
    private static let headBytesMax = 1 << 20

    /// Takes over `socket`, a connected stream socket, and closes it in the end.
    init(socket: Int32, host: String = "runtime") {
        self.socket = socket
        self.host = host
        next = Array("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: \(host)\r\n\r\n".utf8)
        buffer = .allocate(byteCount: 16 << 10, alignment: 16)
    }

    deinit {
        buffer.deallocate()
        close(socket)
    }

    // MARK: Requests

    /// Asks for the next invocation and waits for it, without limit.
    func nextInvocation() throws -> Invocation {
        if !awaitsNext {
            try write(next)
            awaited.append(.next)
        }
        while true {
            let request = awaited.removeFirst()
            let answer = try readAnswer()
            switch request {
            case .acknowledgement(let what): check(answer, acknowledges: what)
            case .next: return try invocation(from: answer)
            }
        }
    }

    /// Posts an invocation's answer and asks for the next invocation, in one write.
    func respond(_ response: Response, to invocation: Invocation) throws {
        try post("response", response.bytes, type: response.contentType, for: invocation)
    }

    /// Posts an invocation's failure and asks for the next invocation, in one write.
    func fail(_ error: FunctionError, _ invocation: Invocation) throws {
        try post("error", error.document, type: "application/json", for: invocation)
    }

    /// Sends a piece of a streamed answer, not empty; the first, for which `contentType` is given, with the head before
    /// it. Returns `false`, and sends nothing, when the host has answered already: it wants no more of the stream.
    func writeChunk(_ bytes: [UInt8], of invocation: Invocation, beginning contentType: String?) throws -> Bool {
        if contentType == nil, try isStreamAnswered() { return false }
        let size = Array("\(String(bytes.count, radix: 16))\r\n".utf8)
        try write(contentType.map { beginStream(of: invocation, $0) } ?? [], size, bytes, [0x0D, 0x0A])
        return true
    }

    /// Ends a streamed answer and asks for the next invocation, in one write. A stream of no pieces begins here. An error
    /// goes into the trailers.
    func endStream(of invocation: Invocation, beginning contentType: String?, _ error: FunctionError?) throws {
        let head = contentType.map { beginStream(of: invocation, $0) } ?? []
        var trailers = ""
        if let error {
            let document = error.shortDocument.base64
            trailers = "Lambda-Runtime-Function-Error-Type: \(Self.headerText(error.type).prefix(200))\r\n"
            trailers += "Lambda-Runtime-Function-Error-Body: \(document)\r\n"
        }
        flushStandardOutput()
        try write(head, Array("0\r\n\(trailers)\r\n".utf8), next)
        awaited.append(.next)
    }

    private func beginStream(of invocation: Invocation, _ contentType: String) -> [UInt8] {
        awaited.append(.acknowledgement(of: "response"))
        return Array(
            """
            POST /2018-06-01/runtime/invocation/\(invocation.context.requestID)/response HTTP/1.1\r
            Host: \(host)\r
            Content-Type: \(Self.headerText(contentType))\r
            \(nonce(invocation))Lambda-Runtime-Function-Response-Mode: streaming\r
            Transfer-Encoding: chunked\r
            Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r
            \r

            """.utf8)
    }

    /// Whether the host has answered the stream that is being sent, which is the last request whose answer is awaited.
    private func isStreamAnswered() throws -> Bool {
        while case .acknowledgement(let what)? = awaited.first {
            var state = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard start < end || poll(&state, 1, 0) > 0 else { return false }
            awaited.removeFirst()
            check(try readAnswer(), acknowledges: what)
        }
        return true
    }

    /// Free text for a header, where it must not end the line.
    private static func headerText(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value >= 0x20 && $0.value < 0x7F ? Character($0) : "?" })
    }

    /// Reports that the function could not start, and waits until the host has taken note.
    func failInit(_ error: FunctionError) throws {
        let type = Self.headerText(error.type)
        try write(
            head("/2018-06-01/runtime/init/error", "Lambda-Runtime-Function-Error-Type: \(type)\r\n", error.document),
            error.document)
        awaited.append(.acknowledgement(of: "init error"))
        try drainAcknowledgements()
    }

    /// Reports progress. Waits for the acknowledgement of the report before, so that reports cannot pile up in the
    /// socket of a training that never reads.
    func report(_ progress: TrainingJob.Progress, on invocation: Invocation) throws {
        try drainAcknowledgements()
        let body = progress.document
        let path = "/roost/v1/runtime/invocation/\(invocation.context.requestID)/progress"
        try write(head(path, "Content-Type: application/json\r\n" + nonce(invocation), body), body)
        awaited.append(.acknowledgement(of: "progress"))
    }

    private var awaitsNext: Bool {
        awaited.contains { if case .next = $0 { true } else { false } }
    }

    private func drainAcknowledgements() throws {
        while case .acknowledgement(let what)? = awaited.first {
            awaited.removeFirst()
            check(try readAnswer(), acknowledges: what)
        }
    }

    /// Reads what the host still has to say, for at most 200 ms: a socket that is closed with unread bytes in it
    /// shows the host a reset instead of an end.
    func finish() {
        while case .acknowledgement? = awaited.first {
            var state = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard start < end || poll(&state, 1, 200) > 0, (try? readAnswer()) != nil else { return }
            awaited.removeFirst()
        }
    }

    private func post(
        _ kind: String, _ body: [UInt8], type: String, for invocation: Invocation
    ) throws {
        let path = "/2018-06-01/runtime/invocation/\(invocation.context.requestID)/\(kind)"
        flushStandardOutput()
        try write(head(path, "Content-Type: \(type)\r\n" + nonce(invocation), body), body, next)
        awaited.append(.acknowledgement(of: kind))
        awaited.append(.next)
    }

    private func nonce(_ invocation: Invocation) -> String {
        invocation.invocationID.map { "Lambda-Runtime-Invocation-Id: \($0)\r\n" } ?? ""
    }

    private func head(_ path: String, _ headers: String, _ body: [UInt8]) -> [UInt8] {
        Array("POST \(path) HTTP/1.1\r\nHost: \(host)\r\n\(headers)Content-Length: \(body.count)\r\n\r\n".utf8)
    }

    // MARK: Answers

    private struct Answer {
        var status = 0
        var contentLength = 0
        var requestID: String?
        var deadline: Int64?
        var functionARN: String?
        var traceID: String?
        var clientContext: String?
        var invocationID: String?
        var body: [UInt8] = []
    }

    /// A refused answer is the host's matter: it has settled the invocation (timed out, answer too large), and this
    /// worker can serve the next one. Only a host that fails is fatal.
    private func check(_ answer: Answer, acknowledges what: String) {
        guard !(200..<300).contains(answer.status) else { return }
        let text = String(decoding: answer.body, as: UTF8.self)
        if answer.status >= 500 { fatal("the host answered \(answer.status) to \(what): \(text)") }
        writeToStandardError("worker: the host answered \(answer.status) to \(what): \(text)\n")
    }

    private func invocation(from answer: Answer) throws -> Invocation {
        guard answer.status == 200 else {
            fatal("the host answered \(answer.status) to next: \(String(decoding: answer.body, as: UTF8.self))")
        }
        guard let requestID = answer.requestID else { fatal("an invocation without Lambda-Runtime-Aws-Request-Id") }
        let context = InvocationContext(
            requestID: requestID, deadlineEpochMilliseconds: answer.deadline ?? .max,
            invokedFunctionARN: answer.functionARN ?? "", traceID: answer.traceID ?? "",
            clientContext: answer.clientContext)
        return Invocation(event: Event(bytes: answer.body), context: context, invocationID: answer.invocationID)
    }

    private func readAnswer() throws -> Answer {
        while true {
            var answer = try readHead()
            if (100..<200).contains(answer.status) { continue }  // interim answers have no body and settle nothing
            answer.body = try readBody(answer.status == 204 ? 0 : answer.contentLength)
            return answer
        }
    }

    /// Consumes one head. A head split over reads is searched again only from where the last search ended.
    private func readHead() throws -> Answer {
        var searched = start
        while true {
            if let headEnd = endOfHead(from: searched) {
                let answer = parseHead(UnsafeRawBufferPointer(rebasing: buffer[start..<headEnd]))
                start = headEnd
                return answer
            }
            searched = max(start, end - 3)
            if end - start > Self.headBytesMax { fatal("the host sent a head of more than \(Self.headBytesMax) bytes") }
            let before = start
            try fill()
            searched -= before - start
        }
    }

    /// The offset after the blank line, looking from `offset`.
    private func endOfHead(from offset: Int) -> Int? {
        var index = offset
        while index + 3 < end {
            guard let found = memchr(buffer.baseAddress! + index, 0x0D, end - index - 3) else { return nil }
            index = buffer.baseAddress!.distance(to: found)
            if buffer[index + 1] == 0x0A, buffer[index + 2] == 0x0D, buffer[index + 3] == 0x0A { return index + 4 }
            index += 1
        }
        return nil
    }

    private func parseHead(_ head: UnsafeRawBufferPointer) -> Answer {
        var answer = Answer()
        // HTTP/1.1 200 OK
        guard head.count >= 17, head.starts(with: "HTTP/1.".utf8), head[8] == 0x20,
            let status = Self.integer(head[9..<12]), head[12] == 0x20 || head[12] == 0x0D
        else { fatal("the host's answer is not HTTP/1.1: \(String(decoding: head.prefix(60), as: UTF8.self))") }
        answer.status = Int(status)
        var hasLength = false
        var line = (head.firstIndex(of: 0x0A) ?? head.count) + 1
        while line + 2 < head.count {
            let lineEnd = head[line...].firstIndex(of: 0x0D) ?? head.count
            guard let colon = head[line..<lineEnd].firstIndex(of: UInt8(ascii: ":")) else {
                fatal("the host sent a header line without a colon")
            }
            let name = head[line..<colon]
            var value = head[(colon + 1)..<lineEnd]
            while let first = value.first, first == 0x20 || first == 0x09 { value = value.dropFirst() }
            while let last = value.last, last == 0x20 || last == 0x09 { value = value.dropLast() }
            if Self.equals(name, "content-length") {
                guard let length = Self.integer(value), !hasLength || length == answer.contentLength else {
                    fatal("the host sent a bad Content-Length")
                }
                answer.contentLength = Int(length)
                hasLength = true
            } else if Self.equals(name, "transfer-encoding") {
                fatal("the host sent a Transfer-Encoding; this runtime reads Content-Length only")
            } else if Self.equals(name, "lambda-runtime-aws-request-id") {
                answer.requestID = String(decoding: value, as: UTF8.self)
            } else if Self.equals(name, "lambda-runtime-deadline-ms") {
                answer.deadline = Self.integer(value)
            } else if Self.equals(name, "lambda-runtime-invoked-function-arn") {
                answer.functionARN = String(decoding: value, as: UTF8.self)
            } else if Self.equals(name, "lambda-runtime-trace-id") {
                answer.traceID = String(decoding: value, as: UTF8.self)
            } else if Self.equals(name, "lambda-runtime-client-context") {
                answer.clientContext = String(decoding: value, as: UTF8.self)
            } else if Self.equals(name, "lambda-runtime-invocation-id") {
                answer.invocationID = String(decoding: value, as: UTF8.self)
            }
            line = lineEnd + 2
        }
        if !hasLength, answer.status >= 200, answer.status != 204 {
            fatal("the host answered \(answer.status) without Content-Length")
        }
        return answer
    }

    private static func equals(_ name: Slice<UnsafeRawBufferPointer>, _ lowercase: StaticString) -> Bool {
        guard name.count == lowercase.utf8CodeUnitCount else { return false }
        var index = name.startIndex
        for position in 0..<lowercase.utf8CodeUnitCount {
            let byte = name[index]
            let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
            guard lower == lowercase.utf8Start[position] else { return false }
            index += 1
        }
        return true
    }

    private static func integer(_ digits: Slice<UnsafeRawBufferPointer>) -> Int64? {
        guard !digits.isEmpty, digits.count <= 18 else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        return value
    }

    /// Consumes a body. What is beyond the buffer is read straight into its place.
    private func readBody(_ count: Int) throws -> [UInt8] {
        guard count > 0 else { return [] }
        return try Array(unsafeUninitializedCapacity: count) { body, initialized in
            let target = UnsafeMutableRawBufferPointer(body)
            initialized = min(count, end - start)
            if initialized > 0 { memcpy(target.baseAddress!, buffer.baseAddress! + start, initialized) }
            start += initialized
            while initialized < count {
                initialized += try receive(target.baseAddress! + initialized, count - initialized)
            }
        }
    }

    // MARK: Bytes

    /// Reads more bytes into the buffer, making room first. May move what is there to the buffer's start.
    private func fill() throws {
        if start == end {
            start = 0
            end = 0
        } else if start > 0 {
            memmove(buffer.baseAddress!, buffer.baseAddress! + start, end - start)
            end -= start
            start = 0
        }
        if end == buffer.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count * 2, alignment: 16)
            memcpy(larger.baseAddress!, buffer.baseAddress!, end)
            buffer.deallocate()
            buffer = larger
        }
        end += try receive(buffer.baseAddress! + end, buffer.count - end)
    }

    private func receive(_ target: UnsafeMutableRawPointer, _ capacity: Int) throws -> Int {
        while true {
            let count = recv(socket, target, capacity, 0)
            if count > 0 { return count }
            if count == 0 || errno == ECONNRESET { throw Closed() }
            if errno != EINTR { fatal("\(SystemError(operation: "recv from the host", code: errno))") }
        }
    }

    private func write(_ parts: [UInt8]...) throws {
        let total = parts.reduce(0) { $0 + $1.count }
        if total <= 4096 {  // one small copy is cheaper than a vector
            try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { scratch in
                var count = 0
                for part in parts {
                    part.withUnsafeBytes {
                        if let base = $0.baseAddress { memcpy(scratch.baseAddress! + count, base, $0.count) }
                    }
                    count += part.count
                }
                var vector = [iovec(iov_base: scratch.baseAddress!, iov_len: count)]
                try send(&vector)
            }
            return
        }
        try send(parts, from: 0, [])
    }

    /// Pins the parts one inside the other, then sends them together.
    private func send(_ parts: [[UInt8]], from index: Int, _ pinned: [iovec]) throws {
        guard index < parts.count else {
            var vector = pinned
            try send(&vector)
            return
        }
        try parts[index].withUnsafeBytes { bytes in
            var pinned = pinned
            if let base = bytes.baseAddress, !bytes.isEmpty {
                pinned.append(iovec(iov_base: UnsafeMutableRawPointer(mutating: base), iov_len: bytes.count))
            }
            try send(parts, from: index + 1, pinned)
        }
    }

    private func send(_ vector: inout [iovec]) throws {
        var first = 0
        while first < vector.count {
            let count = vector.withUnsafeMutableBufferPointer { vector in
                var message = msghdr()
                message.msg_iov = vector.baseAddress! + first
                message.msg_iovlen = .init(vector.count - first)
                return sendmsg(socket, &message, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EPIPE || errno == ECONNRESET { throw Closed() }
                fatal("\(SystemError(operation: "send to the host", code: errno))")
            }
            var sent = count
            while first < vector.count, sent >= vector[first].iov_len {
                sent -= vector[first].iov_len
                first += 1
            }
            if sent > 0 {
                vector[first].iov_base += sent
                vector[first].iov_len -= sent
            }
        }
    }
}
