internal import CLLHTTP

#if canImport(Glibc)
    internal import Glibc
#endif

/// Reads a request head line by line into an `HTTPRequest` and refuses every shape that two HTTP implementations could
/// read in two ways (request smuggling), or that no honest client sends.
///
/// llhttp alone lets several of them pass, also in strict mode. So each line is checked here, once, when it is complete;
/// the whole head then goes through llhttp, and the two must agree on where it ends and how the body is framed. Nothing is
/// looked at twice when a head arrives in many pieces: a search for the line's end continues where it stopped.
package struct HeadParser {
    package enum Progress {
        case incomplete
        /// The head is in the request; its length.
        case complete(Int)
        case refused(HTTPRefusal)
    }

    /// Where the current line starts, and up to where no line end was found.
    private var lineStart = 0
    private var searched = 0
    private var hasRequestLine = false
    private var hasSkippedEmptyLine = false
    private var hostSeen = false
    private var contentLengthSeen = false
    private var transferEncodingSeen = false
    private var connectionSaysClose = false
    private var connectionSaysKeepAlive = false

    package init() {}

    /// Goes on with a head that starts at `base`, of which `count` bytes are there now. `base` may have moved since.
    package mutating func advance(
        _ base: UnsafeRawPointer, _ count: Int, limits: HTTPLimits, into request: HTTPRequest
    ) -> Progress {
        request.base = base
        while true {
            guard searched < count, let end = memchr(base + searched, 0x0A, count - searched) else {
                searched = count
                return count > limits.headBytesMax ? .refused(.headTooLarge) : .incomplete
            }
            let lineFeed = UnsafeRawPointer(end) - base
            searched = lineFeed + 1
            if lineFeed >= limits.headBytesMax { return .refused(.headTooLarge) }
            let lineEnd = lineFeed - 1  // the carriage return
            guard lineEnd >= lineStart, base.load(fromByteOffset: lineEnd, as: UInt8.self) == 0x0D else {
                return .refused(.bareLineBreak)
            }
            if lineEnd == lineStart {
                // RFC 9112, section 2.2: one empty line before a request is forgiven.
                if !hasRequestLine {
                    if hasSkippedEmptyLine { return .refused(.malformedRequestLine) }
                    hasSkippedEmptyLine = true
                } else if let refusal = finish(request, length: lineFeed + 1) {
                    return .refused(refusal)
                } else {
                    return .complete(lineFeed + 1)
                }
            } else {
                let refusal =
                    hasRequestLine
                    ? readField(base, lineStart, lineEnd, limits, request)
                    : readRequestLine(base, lineStart, lineEnd, request)
                if let refusal { return .refused(refusal) }
                hasRequestLine = true
            }
            lineStart = lineFeed + 1
        }
    }

    /// True once something of a request is there (an empty line is nothing).
    static func isBegun(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.contains { $0 != 0x0D && $0 != 0x0A } }

    // MARK: Request line

    private func readRequestLine(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ request: HTTPRequest
    ) -> HTTPRefusal? {
        var i = start
        while i < end, Self.isToken(base.load(fromByteOffset: i, as: UInt8.self)) { i &+= 1 }
        guard i > start, i < end else { return .badMethod }
        guard base.load(fromByteOffset: i, as: UInt8.self) == 0x20 else { return .badMethod }
        let method = UnsafeRawBufferPointer(start: base + start, count: i - start)
        i &+= 1

        // Target: up to the next space; path segments and percent-encoding in the same pass.
        let targetStart = i
        if i < end, base.load(fromByteOffset: i, as: UInt8.self) != UInt8(ascii: "/") {
            let first = base.load(fromByteOffset: i, as: UInt8.self)
            return first == 0x20 || first == 0x09 ? .malformedRequestLine : .unsupportedTargetForm
        }
        var pathEnd = -1
        var segmentStart = targetStart + 1
        scan: while i < end {
            let byte = base.load(fromByteOffset: i, as: UInt8.self)
            switch byte {
            case 0x20: break scan
            case UInt8(ascii: "/") where pathEnd < 0 && i > targetStart:
                request.appendSegment(.init(UInt32(segmentStart), UInt32(i - segmentStart)))
                segmentStart = i + 1
            case UInt8(ascii: "?") where pathEnd < 0: pathEnd = i
            case UInt8(ascii: "%"):
                guard i + 2 < end, PercentEncoding.hexValue(base.load(fromByteOffset: i + 1, as: UInt8.self)) != nil,
                    PercentEncoding.hexValue(base.load(fromByteOffset: i + 2, as: UInt8.self)) != nil
                else { return .badTarget }
            case UInt8(ascii: "#"): return .badTarget
            case 0x21...0x7E: break
            default: return .badTarget
            }
            i &+= 1
        }
        guard i > targetStart, i < end else { return .malformedRequestLine }
        if pathEnd < 0 { pathEnd = i }
        if pathEnd > targetStart + 1 {
            request.appendSegment(.init(UInt32(segmentStart), UInt32(pathEnd - segmentStart)))
        }
        request.targetSpan = .init(UInt32(targetStart), UInt32(i - targetStart))
        request.pathCount = UInt32(pathEnd - targetStart)
        i &+= 1

        // Version: eight bytes to the end of the line, nothing behind them.
        let version = UnsafeRawBufferPointer(start: base + i, count: end - i)
        let isNamed = version.count >= 5 && PathSegment(raw: UnsafeRawBufferPointer(rebasing: version[..<5])) == "HTTP/"
        guard isNamed, version.count == 8, Self.isDigit(version[5]), version[6] == UInt8(ascii: "."),
            Self.isDigit(version[7])
        else {
            // A second space is a target with a space in it, unless what comes behind it is the version.
            return isNamed ? .malformedRequestLine : .badTarget
        }
        guard version[5] == UInt8(ascii: "1"), version[7] <= UInt8(ascii: "1") else { return .unsupportedVersion }
        request.minorVersion = Int(version[7] - UInt8(ascii: "0"))

        guard let known = Self.method(method) else { return .unsupportedMethod }
        request.method = known
        return nil
    }

    private static func method(_ bytes: UnsafeRawBufferPointer) -> HTTPMethod? {
        func matches(_ method: HTTPMethod) -> Bool { PathSegment(raw: bytes) == method.name }
        switch bytes.first {
        case UInt8(ascii: "G"): return matches(.get) ? .get : nil
        case UInt8(ascii: "P"):
            if matches(.post) { return .post }
            if matches(.put) { return .put }
            return matches(.patch) ? .patch : nil
        case UInt8(ascii: "H"): return matches(.head) ? .head : nil
        case UInt8(ascii: "D"): return matches(.delete) ? .delete : nil
        case UInt8(ascii: "O"): return matches(.options) ? .options : nil
        default: return nil
        }
    }

    // MARK: Fields

    private mutating func readField(
        _ base: UnsafeRawPointer, _ start: Int, _ end: Int, _ limits: HTTPLimits, _ request: HTTPRequest
    ) -> HTTPRefusal? {
        var i = start
        while i < end, Self.isToken(base.load(fromByteOffset: i, as: UInt8.self)) { i &+= 1 }
        if i == start {
            let first = base.load(fromByteOffset: i, as: UInt8.self)
            return first == 0x20 || first == 0x09 ? .foldedField : .badFieldName
        }
        guard i < end, base.load(fromByteOffset: i, as: UInt8.self) == UInt8(ascii: ":") else { return .badFieldName }
        let name = HTTPRequest.Span(UInt32(start), UInt32(i - start))
        i &+= 1
        while i < end, Self.isBlank(base.load(fromByteOffset: i, as: UInt8.self)) { i &+= 1 }
        var valueEnd = end
        while valueEnd > i, Self.isBlank(base.load(fromByteOffset: valueEnd - 1, as: UInt8.self)) { valueEnd &-= 1 }
        guard Self.isFieldValue(base + i, valueEnd - i) else {
            // A carriage return can only be here without its line feed.
            return UnsafeRawBufferPointer(start: base + i, count: valueEnd - i).contains(0x0D)
                ? .bareLineBreak : .badFieldValue
        }
        if request.fieldCount == limits.headerFieldsMax { return .tooManyFields }
        let field = HTTPRequest.Field(name: name, value: .init(UInt32(i), UInt32(valueEnd - i)))
        request.appendField(field)
        return readMeaning(request, field)
    }

    /// The fields that decide about framing and connection.
    private mutating func readMeaning(_ request: HTTPRequest, _ field: HTTPRequest.Field) -> HTTPRefusal? {
        let name = request.slice(field.name)
        let value = request.slice(field.value)
        switch name.count {
        case 4 where HTTPRequest.equals(name, "host"):
            if hostSeen { return .repeatedHost }
            hostSeen = true
            return Self.isHost(value) ? nil : .badHost
        case 6 where HTTPRequest.equals(name, "expect"):
            guard HTTPRequest.equals(value, "100-continue") else { return .unmetExpectation }
            request.expectsContinue = true
        case 10 where HTTPRequest.equals(name, "connection"):
            for option in value.split(separator: UInt8(ascii: ",")) {
                let option = Self.trimmed(option)
                if HTTPRequest.equals(option, "close") { connectionSaysClose = true }
                if HTTPRequest.equals(option, "keep-alive") { connectionSaysKeepAlive = true }
            }
        case 14 where HTTPRequest.equals(name, "content-length"):
            if contentLengthSeen { return .repeatedContentLength }
            contentLengthSeen = true
            guard let length = Self.decimal(value) else { return .badContentLength }
            request.contentLength = length
        case 17 where HTTPRequest.equals(name, "transfer-encoding"):
            if transferEncodingSeen { return .repeatedTransferEncoding }
            transferEncodingSeen = true
            guard HTTPRequest.equals(value, "chunked") else { return Self.refusal(ofTransferEncoding: value) }
            request.isChunked = true
        default: break
        }
        return nil
    }

    /// Codings that end in one `chunked` could be served by others (501); anything else has no certain length (400).
    private static func refusal(ofTransferEncoding value: UnsafeRawBufferPointer) -> HTTPRefusal {
        let codings = value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map(trimmed)
        let isPlain = codings.allSatisfy { !$0.isEmpty && $0.allSatisfy(isToken) }
        let chunkedCount = codings.filter { HTTPRequest.equals($0, "chunked") }.count
        return isPlain && chunkedCount == 1 && HTTPRequest.equals(codings.last!, "chunked")
            ? .unsupportedTransferEncoding : .badTransferEncoding
    }

    // MARK: The whole head

    private func finish(_ request: HTTPRequest, length: Int) -> HTTPRefusal? {
        if transferEncodingSeen {
            if request.minorVersion == 0 { return .oldTransferEncoding }
            if contentLengthSeen { return .bothLengths }
        }
        if request.minorVersion == 1, !hostSeen { return .missingHost }
        if request.minorVersion == 0 { request.expectsContinue = false }
        request.wantsKeepAlive = !connectionSaysClose && (request.minorVersion == 1 || connectionSaysKeepAlive)
        request.byteCount = length
        return SecondOpinion.agrees(request) ? nil : .parsersDisagree
    }

    // MARK: Bytes

    /// A number of digits only, at most 18 of them.
    static func decimal(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard (1...18).contains(bytes.count) else { return nil }
        var value = 0
        for byte in bytes {
            guard isDigit(byte) else { return nil }
            value = value &* 10 &+ Int(byte &- UInt8(ascii: "0"))
        }
        return value
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func trimmed(_ bytes: Slice<UnsafeRawBufferPointer>) -> UnsafeRawBufferPointer {
        var bytes = bytes.drop(while: isBlank)
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return UnsafeRawBufferPointer(rebasing: bytes)
    }

    /// tchar of RFC 9110, section 5.6.2, as one bit per ASCII code.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        let low: UInt64 = 0x03FF_6CFA_0000_0000  // ! # $ % & ' * + - . 0-9
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE  // A-Z ^ _ ` a-z | ~
        if byte >= 0x80 { return false }
        return (byte < 64 ? low : high) &>> UInt64(byte & 63) & 1 != 0
    }

    /// No control characters but tabs. Bytes past ASCII are opaque, as RFC 9110 has it.
    private static func isFieldValue(_ start: UnsafeRawPointer, _ count: Int) -> Bool {
        var i = 0
        while i < count {
            if i &+ 8 <= count {
                let word = start.loadUnaligned(fromByteOffset: i, as: UInt64.self)
                let ones: UInt64 = 0x0101_0101_0101_0101
                let delete = word ^ (ones &* 0x7F)
                // High bit where a byte is below 0x20 or is 0x7F; bytes past ASCII are cleared from the verdict.
                let found = ((word &- ones &* 0x20) | (delete &- ones)) & ~word & 0x8080_8080_8080_8080
                if found == 0 {
                    i &+= 8
                    continue
                }
            }
            let byte = start.load(fromByteOffset: i, as: UInt8.self)
            if (byte < 0x20 && byte != 0x09) || byte == 0x7F { return false }
            i &+= 1
        }
        return true
    }

    /// host[:port] of RFC 3986, without user information; not empty.
    private static func isHost(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard !bytes.isEmpty else { return false }
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "~"), UInt8(ascii: "%"):
                continue
            default: return false
            }
        }
        return true
    }
}

/// llhttp's reading of a head that ours has accepted.
enum SecondOpinion {
    // nonisolated(unsafe): llhttp only reads the settings; they are complete before anything uses them.
    private nonisolated(unsafe) static let settings: UnsafeMutablePointer<llhttp_settings_t> = {
        let settings = UnsafeMutablePointer<llhttp_settings_t>.allocate(capacity: 1)
        llhttp_settings_init(settings)
        settings.pointee.on_headers_complete = { _ in CInt(HPE_PAUSED.rawValue) }
        return settings
    }()

    /// True if llhttp, too, finds a whole head that ends where ours does and frames the body as ours.
    static func agrees(_ request: HTTPRequest) -> Bool {
        withUnsafeTemporaryAllocation(of: llhttp_t.self, capacity: 1) { memory in
            let parser = memory.baseAddress!
            llhttp_init(parser, HTTP_REQUEST, settings)
            let start = request.base!.assumingMemoryBound(to: CChar.self)
            guard llhttp_execute(parser, start, request.byteCount) == HPE_PAUSED else { return false }
            let read = UnsafePointer(llhttp_get_error_pos(parser)!) - start
            let isChunked = parser.pointee.flags & UInt16(F_CHUNKED.rawValue) != 0
            let length =
                parser.pointee.flags & UInt16(F_CONTENT_LENGTH.rawValue) != 0
                ? Int(truncatingIfNeeded: parser.pointee.content_length) : nil
            return read == request.byteCount && isChunked == request.isChunked && length == request.contentLength
                && Int(parser.pointee.http_minor) == request.minorVersion
        }
    }
}
