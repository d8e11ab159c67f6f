// Answers: whole ones (`respond`) and streamed ones (`begin`, `write`, `end` or `fail`). Each is for the exchange that is
// open; without one, and out of order, they do nothing and return false. What answers later goes through `HTTPExchange`.
extension HTTPConnection {
    /// The whole answer: head and body in one `writev` where nothing is held back.
    ///
    /// - Parameter headers: adds header fields beside those that the connection writes.
    @discardableResult
    package func respond(
        _ status: Int, body: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        headers: (HTTPHeaderWriter) -> Void = { _ in }
    ) -> Bool {
        guard isExchangeOpen, case .none = answer else { return false }
        let framing = writeHead(status, contentLength: body.count, headers)
        let sent: UnsafeRawBufferPointer =
            if case .nothing = framing { UnsafeRawBufferPointer(start: nil, count: 0) } else { body }
        if holdsAnswer {
            out.append(sent)
        } else {
            flush(sent)
        }
        finishExchange()
        return true
    }

    @discardableResult
    package func respond(
        _ status: Int, body: [UInt8], headers: (HTTPHeaderWriter) -> Void = { _ in }
    ) -> Bool {
        body.withUnsafeBytes { respond(status, body: $0, headers: headers) }
    }

    @discardableResult
    package func respond(_ status: Int, contentType: StaticString, body: [UInt8]) -> Bool {
        body.withUnsafeBytes { respond(status, body: $0) { $0.add("Content-Type", contentType) } }
    }

    /// Starts a streamed answer. With a length, exactly that many bytes must be written; without one the body is chunked
    /// (on HTTP/1.0: ended by closing).
    ///
    /// - Parameter flush: false keeps the head until the first `write`, to go out together with it.
    @discardableResult
    package func begin(
        _ status: Int, contentLength: Int? = nil, flush flushes: Bool = true,
        headers: (HTTPHeaderWriter) -> Void = { _ in }
    ) -> Bool {
        guard isExchangeOpen, case .none = answer else { return false }
        answer = .streaming(writeHead(status, contentLength: contentLength, headers))
        if flushes { flush() }
        return true
    }

    /// The next bytes of a streamed answer. False: write no more until `onDrain`, or ever if the exchange is over.
    ///
    /// A writer that goes on regardless is stopped by closing the connection, at four times `outputBytesMax`.
    @discardableResult
    package func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard isExchangeOpen, case .streaming(let framing) = answer, !isBroken else { return false }
        if bytes.isEmpty { return hasRoom }
        switch framing {
        case .nothing: return true
        case .untilClose: break
        case .fixed(let left):
            guard bytes.count <= left else {
                fail()
                return false
            }
            answer = .streaming(.fixed(left: left - bytes.count))
        case .chunked:
            // With its line end, for which clients wait before they hand a chunk on.
            out.appendHexadecimal(bytes.count)
            out.append("\r\n")
            if bytes.count <= Self.copiedBytesMax {
                out.append(bytes)
                out.append("\r\n")
            } else {
                flush(bytes)
                out.append("\r\n")
            }
            flush()
            return afterWriting()
        }
        flush(bytes)
        return afterWriting()
    }

    /// Up to this, copying costs less than a system call.
    private static let copiedBytesMax = 16 * 1024

    private func afterWriting() -> Bool {
        if queuedByteCount > 4 * limits.outputBytesMax {
            cutOff(.notReading)
            return false
        }
        return hasRoom
    }

    @discardableResult
    package func write(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { write($0) } }

    /// Ends a streamed answer. One that is shorter than its announced length fails instead.
    package func end() {
        guard isExchangeOpen, case .streaming(let framing) = answer else { return }
        switch framing {
        case .fixed(let left) where left > 0: return fail()
        case .chunked: out.append("0\r\n\r\n")
        default: break
        }
        if !holdsAnswer { flush() }
        finishExchange()
    }

    /// Gives up an answer: the client sees that it is cut short. The delegate hears nothing more of the exchange.
    package func fail() {
        guard isExchangeOpen else { return }
        abandon()
    }

    private var hasRoom: Bool { !isBroken && !isClosed && queuedByteCount < limits.outputBytesMax }

    private func writeHead(_ status: Int, contentLength: Int?, _ headers: (HTTPHeaderWriter) -> Void) -> Framing {
        let hasNoBody = status == 204 || status == 304
        let framing: Framing =
            if hasNoBody || request.method == .head {
                .nothing
            } else if let contentLength {
                .fixed(left: contentLength)
            } else if request.minorVersion == 0 {
                .untilClose
            } else {
                .chunked
            }
        if !request.wantsKeepAlive || group.isDraining || !canPassRestOfRequest { closesAfterAnswer = true }
        if case .untilClose = framing { closesAfterAnswer = true }

        StatusLine.append(status, to: out)
        out.append(group.dateField)
        if !hasNoBody, let contentLength {
            out.append("Content-Length: ")
            out.appendDecimal(contentLength)
            out.append("\r\n")
        } else if !hasNoBody, request.minorVersion == 1 {
            out.append("Transfer-Encoding: chunked\r\n")
        }
        if closesAfterAnswer {
            out.append("Connection: close\r\n")
        } else if request.minorVersion == 0 {
            out.append("Connection: keep-alive\r\n")
        }
        headers(HTTPHeaderWriter(buffer: out))
        out.append("\r\n")
        return framing
    }
}

/// An exchange that may be answered after the call that announced it. Once it is over, for whatever reason, everything
/// here does nothing: it cannot answer somebody else's request. On the loop's thread.
package struct HTTPExchange {
    package let connection: HTTPConnection
    let number: UInt64

    /// True while an answer has somebody to go to.
    package var isOpen: Bool { connection.exchangeNumber == number && connection.isExchangeOpen }

    @discardableResult
    package func respond(
        _ status: Int, body: UnsafeRawBufferPointer = .init(start: nil, count: 0),
        headers: (HTTPHeaderWriter) -> Void = { _ in }
    ) -> Bool {
        isOpen && connection.respond(status, body: body, headers: headers)
    }

    @discardableResult
    package func respond(
        _ status: Int, body: [UInt8], headers: (HTTPHeaderWriter) -> Void = { _ in }
    ) -> Bool {
        isOpen && connection.respond(status, body: body, headers: headers)
    }

    @discardableResult
    package func begin(
        _ status: Int, contentLength: Int? = nil, flush: Bool = true, headers: (HTTPHeaderWriter) -> Void = { _ in }
    ) -> Bool {
        isOpen && connection.begin(status, contentLength: contentLength, flush: flush, headers: headers)
    }

    @discardableResult
    package func write(_ bytes: UnsafeRawBufferPointer) -> Bool { isOpen && connection.write(bytes) }
    @discardableResult
    package func write(_ bytes: [UInt8]) -> Bool { isOpen && connection.write(bytes) }
    package func end() { if isOpen { connection.end() } }
    package func fail() { if isOpen { connection.fail() } }
}
