package import Domain

/// One HTTP request to elsewhere.
package struct TransferRequest: Sendable {
    /// Absolute, `http` or `https`, visible ASCII.
    package var url: String
    /// Sent with the body, whichever it is.
    package var method: String
    /// `Host`, `Content-Length`, `Transfer-Encoding` and `Expect` are not the caller's. Nothing is added but `User-Agent` and
    /// `Accept`, unless they are here.
    package var headers: [(name: String, value: String)]
    /// Copied while it is sent.
    package var body: [UInt8]
    /// From `send` to the last byte of the answer, the wait for a connection included.
    package var timeout: Interval
    /// For name, connection and TLS together, within `timeout`.
    package var connectTimeout: Interval
    /// PEM file of the certificates that are trusted, in place of the system's; nil for those. One that was replaced is
    /// read again within a minute.
    package var caFile: String?

    package static let urlBytesMax = 8192
    package static let headersMax = 64
    /// Of each name and each value.
    package static let headerBytesMax = 8192

    /// - Precondition: both times are above zero.
    package init(
        url: String, method: String = "POST", headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        timeout: Interval = .seconds(10), connectTimeout: Interval = .seconds(5), caFile: String? = nil
    ) {
        precondition(timeout > .zero && connectTimeout > .zero, "a transfer without time")
        self.url = url
        self.method = method
        self.headers = headers
        self.body = body
        self.timeout = timeout
        self.connectTimeout = connectTimeout
        self.caFile = caFile
    }

    /// Why it cannot be sent as it is; nil when it can, as far as can be told without libcurl.
    var violation: String? {
        guard (1...Self.urlBytesMax).contains(url.utf8.count), url.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            return "the URL must be 1 to \(Self.urlBytesMax) visible ASCII characters"
        }
        let scheme = url.prefix { $0 != ":" }.lowercased()
        guard scheme == "http" || scheme == "https" else { return "the URL must begin with http:// or https://" }
        guard Self.isToken(method) else { return "'\(method)' is no method" }
        guard headers.count <= Self.headersMax else { return "there are more than \(Self.headersMax) headers" }
        for (name, value) in headers {
            guard Self.isToken(name), name.utf8.count <= Self.headerBytesMax else {
                return "'\(name.prefix(100))' is no name of a header"
            }
            guard value.utf8.count <= Self.headerBytesMax,
                value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 })
            else {
                return "the header \(name) has a control character or more than \(Self.headerBytesMax) bytes"
            }
            guard !Self.reserved.contains(name.lowercased()) else { return "the header \(name) is not the caller's" }
        }
        if let caFile, caFile.isEmpty || caFile.utf8.contains(0) {
            return "the path of the CA file is empty or has a NUL"
        }
        return nil
    }

    private static let reserved: Set = ["host", "content-length", "transfer-encoding", "expect"]

    /// A token of RFC 9110.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: tokenMarks.contains(byte)
                }
            }
    }

    private static let tokenMarks = Array("!#$%&'*+-.^_`|~".utf8)
}

/// What came back, whatever its status.
package struct TransferAnswer: Equatable, Sendable {
    package var status: Int
    /// The first `bodyBytesKept` at most.
    package var body: [UInt8]
    /// Of a `Retry-After` in seconds; nil without one, and for one that is a date.
    package var retryAfter: Interval?

    package init(status: Int, body: [UInt8] = [], retryAfter: Interval? = nil) {
        self.status = status
        self.body = body
        self.retryAfter = retryAfter
    }

    package static let bodyBytesKept = 1024
    /// An answer with more is not read further; its status counts all the same.
    package static let bodyBytesMax = 1 << 20
    /// Of all heads and trailers of an answer.
    package static let headBytesMax = 64 << 10
}

/// Why there is no answer. `reason` is libcurl's text.
package enum TransferError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The request is not one that can be sent.
    case badRequest(reason: String)
    case couldNotResolve(reason: String)
    case couldNotConnect(reason: String)
    /// `timeout` or `connectTimeout` has passed. The request may have arrived.
    case timedOut(reason: String)
    /// The other side is not who it should be, or does not speak TLS as it should, or the CA file is of no use.
    case tlsRefused(reason: String)
    /// The connection ended too early, or what came is no HTTP. The request may have arrived.
    case interrupted(reason: String)
    /// As many requests as the limit are on their way or wait already.
    case tooManyWaiting(limit: Int)
    /// The thread of the transfers could not be started; a later `send` tries again.
    case unavailable(reason: String)
    /// `close` was called. The request may have arrived.
    case closed

    package var description: String {
        switch self {
        case .badRequest(let reason): "the request cannot be sent: \(reason)"
        case .couldNotResolve(let reason): "the host's name could not be resolved: \(reason)"
        case .couldNotConnect(let reason): "no connection: \(reason)"
        case .timedOut(let reason): "timed out: \(reason)"
        case .tlsRefused(let reason): "TLS: \(reason)"
        case .interrupted(let reason): "no whole answer: \(reason)"
        case .tooManyWaiting(let limit): "the limit of \(limit) requests to elsewhere at a time is reached"
        case .unavailable(let reason): "requests to elsewhere cannot be made: \(reason)"
        case .closed: "the host is ending"
        }
    }
}
