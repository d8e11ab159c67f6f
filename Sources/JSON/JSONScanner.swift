/// Where and why a text is not JSON.
package struct JSONSyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Offset in bytes from the start of the text of the first byte that cannot be right; for a text that ends too
    /// early, its length.
    package let offset: Int
    package let reason: JSONSyntaxReason

    package init(offset: Int, reason: JSONSyntaxReason) {
        self.offset = offset
        self.reason = reason
    }

    package var description: String { "\(reason.rawValue) at byte \(offset)" }
}

/// The ways in which a text fails to be JSON, each with the sentence that a client reads.
package enum JSONSyntaxReason: String, Sendable {
    case emptyText = "the text is empty"
    case truncated = "the text ends inside a value"
    case byteOrderMark = "the text starts with a byte order mark"
    case trailingBytes = "there are bytes after the value"
    case valueExpected = "a value was expected"
    case keyExpected = "an object key in double quotes was expected"
    case colonExpected = "a colon was expected after an object key"
    case commaOrBracketExpected = "a comma or ] was expected"
    case commaOrBraceExpected = "a comma or } was expected"
    case badLiteral = "only true, false and null may stand without quotes"
    case badNumber = "a number is malformed"
    case badEscape = "an escape sequence is not one of JSON's"
    case badHexDigit = "\\u must be followed by four hexadecimal digits"
    case controlCharacter = "a control character in a string is not escaped"
    case badUTF8 = "a string is not valid UTF-8"
    case tooDeep = "arrays and objects are nested too deeply"
}

/// Decides, chunk by chunk, whether bytes are exactly one JSON text of RFC 8259 in valid UTF-8.
///
/// It builds nothing: invocation payloads are passed on as the bytes that came. It accepts what the grammar accepts,
/// also where parsers have smaller limits: any top-level kind, numbers of any size, escaped lone surrogates, `\u0000`,
/// duplicate keys. It refuses a byte order mark.
///
/// 1. Everything known between two chunks is `state`, `number`-like sub-states included, so a chunk may end anywhere.
/// 2. One bit per open bracket says array (0) or object (1). The innermost 64 are in `nesting`; only deeper texts
///    allocate.
/// 3. After a failure the scanner stays failed and reports the same error again.
package struct JSONScanner {
    /// Nesting allowed before `tooDeep`; 1 allows `[]` but not `[[]]`.
    package let depthMax: Int

    private var state = State.start
    private var depth = 0
    private var nesting: UInt64 = 0
    private var outerNesting: [UInt64] = []
    private var stringIsKey = false
    /// In `continuation`: bytes still missing, and the range of the next one (RFC 3629 narrows only the second byte).
    private var continuationsLeft = 0
    private var continuationLow: UInt8 = 0x80
    private var continuationHigh: UInt8 = 0xBF
    /// In `literal`: what must follow, lowest byte first; 0 when complete.
    private var literalRest: UInt32 = 0
    private var hexDigitsLeft = 0
    private var consumed = 0
    private var failure: JSONSyntaxError?

    private enum State: UInt8 {
        case start  // before the first byte, where alone a byte order mark can stand
        case value, valueOrBracket, keyOrBrace, key, colon, afterValue
        case string, escape, hex, continuation
        case literal
        case minus, zero, integer, point, fraction, exponent, exponentSign, exponentDigits
        case failed
    }

    package init(depthMax: Int = 1024) {
        self.depthMax = depthMax
    }

    /// Bytes accepted so far.
    package var byteCount: Int { consumed }

    /// Checks the next bytes of the text. Cheap enough for the event loop at network chunk sizes (about 1 ns per byte).
    package mutating func scan(_ bytes: UnsafeRawBufferPointer) throws(JSONSyntaxError) {
        if let failure { throw failure }
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        if let (offset, reason) = run(base, bytes.count) {
            state = .failed
            let error = JSONSyntaxError(offset: consumed + offset, reason: reason)
            failure = error
            throw error
        }
        consumed += bytes.count
    }

    /// Says that the text is over; throws if it was not one complete value.
    package mutating func finish() throws(JSONSyntaxError) {
        if let failure { throw failure }
        switch state {
        case .afterValue where depth == 0: return
        // A number has no end mark; these are the states in which it may stop.
        case .zero, .integer, .fraction, .exponentDigits:
            if depth == 0 { return }
        default: break
        }
        let error = JSONSyntaxError(offset: consumed, reason: isStillEmpty ? .emptyText : .truncated)
        failure = error
        state = .failed
        throw error
    }

    /// True while nothing but white space has come.
    private var isStillEmpty: Bool { state == .start || (state == .value && depth == 0) }

    /// Checks one whole text.
    package static func check(_ bytes: UnsafeRawBufferPointer, depthMax: Int = 1024) throws(JSONSyntaxError) {
        var scanner = JSONScanner(depthMax: depthMax)
        try scanner.scan(bytes)
        try scanner.finish()
    }

    /// Checks one whole text.
    package static func check(_ bytes: [UInt8], depthMax: Int = 1024) throws(JSONSyntaxError) {
        var scanner = JSONScanner(depthMax: depthMax)
        var failure: JSONSyntaxError?
        bytes.withUnsafeBytes { raw in
            do throws(JSONSyntaxError) {
                try scanner.scan(raw)
                try scanner.finish()
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    // MARK: The machine

    private var isInObject: Bool { nesting & 1 != 0 }

    private mutating func open(object: Bool) -> Bool {
        if depth >= depthMax { return false }
        if depth & 63 == 0, depth > 0 { outerNesting.append(nesting) }
        nesting = nesting &<< 1 | (object ? 1 : 0)
        depth += 1
        return true
    }

    private mutating func close() {
        depth -= 1
        if depth & 63 == 0, depth > 0 {
            nesting = outerNesting.removeLast()
        } else {
            nesting = nesting &>> 1
        }
    }

    /// Returns nil when all bytes fit, else the offset in this chunk and the reason.
    private mutating func run(_ base: UnsafeRawPointer, _ count: Int) -> (Int, JSONSyntaxReason)? {
        var i = 0
        var state = self.state
        defer { self.state = state }

        while i < count {
            let byte = base.load(fromByteOffset: i, as: UInt8.self)
            switch state {
            case .string:
                // Plain characters in one tight loop: eight at a time while none of them needs a look.
                while i &+ 8 <= count {
                    let word = base.loadUnaligned(fromByteOffset: i, as: UInt64.self)
                    if Self.needsLook(word) { break }
                    i &+= 8
                }
                var current: UInt8 = 0
                while i < count {
                    current = base.load(fromByteOffset: i, as: UInt8.self)
                    if current == UInt8(ascii: "\"") || current == UInt8(ascii: "\\") || current < 0x20
                        || current >= 0x80
                    {
                        break
                    }
                    i &+= 1
                }
                if i == count { return nil }
                i &+= 1
                if current == UInt8(ascii: "\"") {
                    state = stringIsKey ? .colon : .afterValue
                } else if current == UInt8(ascii: "\\") {
                    state = .escape
                } else if current < 0x20 {
                    return (i - 1, .controlCharacter)
                } else if startSequence(current) {
                    state = .continuation
                } else {
                    return (i - 1, .badUTF8)
                }

            case .continuation:
                if byte < continuationLow || byte > continuationHigh { return (i, .badUTF8) }
                continuationLow = 0x80
                continuationHigh = 0xBF
                continuationsLeft &-= 1
                if continuationsLeft == 0 { state = .string }
                i &+= 1

            case .escape:
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
                    UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
                    state = .string
                case UInt8(ascii: "u"):
                    hexDigitsLeft = 4
                    state = .hex
                default: return (i, .badEscape)
                }
                i &+= 1

            case .hex:
                let lower = byte | 0x20
                guard Self.isDigit(byte) || (lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "f")) else {
                    return (i, .badHexDigit)
                }
                hexDigitsLeft &-= 1
                if hexDigitsLeft == 0 { state = .string }
                i &+= 1

            case .start, .value, .valueOrBracket:
                switch byte {
                case 0x20, 0x0A, 0x0D, 0x09:
                    if state == .start { state = .value }
                case UInt8(ascii: "\""):
                    stringIsKey = false
                    state = .string
                case UInt8(ascii: "{"):
                    if !open(object: true) { return (i, .tooDeep) }
                    state = .keyOrBrace
                case UInt8(ascii: "["):
                    if !open(object: false) { return (i, .tooDeep) }
                    state = .valueOrBracket
                case UInt8(ascii: "]") where state == .valueOrBracket:
                    close()
                    state = .afterValue
                case UInt8(ascii: "0"): state = .zero
                case UInt8(ascii: "1")...UInt8(ascii: "9"): state = .integer
                case UInt8(ascii: "-"): state = .minus
                case UInt8(ascii: "t"):
                    literalRest = 0x65_7572  // "rue"
                    state = .literal
                case UInt8(ascii: "f"):
                    literalRest = 0x6573_6C61  // "alse"
                    state = .literal
                case UInt8(ascii: "n"):
                    literalRest = 0x6C_6C75  // "ull"
                    state = .literal
                case 0xEF where state == .start: return (i, .byteOrderMark)
                default: return (i, Self.isLetter(byte) ? .badLiteral : .valueExpected)
                }
                i &+= 1

            case .literal:
                if byte != UInt8(truncatingIfNeeded: literalRest) { return (i, .badLiteral) }
                literalRest &>>= 8
                if literalRest == 0 { state = .afterValue }
                i &+= 1

            case .keyOrBrace, .key:
                switch byte {
                case 0x20, 0x0A, 0x0D, 0x09: break
                case UInt8(ascii: "\""):
                    stringIsKey = true
                    state = .string
                case UInt8(ascii: "}") where state == .keyOrBrace:
                    close()
                    state = .afterValue
                default: return (i, .keyExpected)
                }
                i &+= 1

            case .colon:
                switch byte {
                case UInt8(ascii: ":"): state = .value
                case 0x20, 0x0A, 0x0D, 0x09: break
                default: return (i, .colonExpected)
                }
                i &+= 1

            case .afterValue:
                switch byte {
                case 0x20, 0x0A, 0x0D, 0x09: break
                case UInt8(ascii: ",") where depth > 0: state = isInObject ? .key : .value
                case UInt8(ascii: "}") where depth > 0 && isInObject: close()
                case UInt8(ascii: "]") where depth > 0 && !isInObject: close()
                default:
                    return (
                        i, depth == 0 ? .trailingBytes : isInObject ? .commaOrBraceExpected : .commaOrBracketExpected
                    )
                }
                i &+= 1

            case .minus:
                if byte == UInt8(ascii: "0") {
                    state = .zero
                } else if Self.isDigit(byte) {
                    state = .integer
                } else {
                    return (i, .badNumber)
                }
                i &+= 1

            case .zero, .integer:
                if state == .integer {
                    while i < count, Self.isDigit(base.load(fromByteOffset: i, as: UInt8.self)) { i &+= 1 }
                    if i == count { return nil }
                }
                switch base.load(fromByteOffset: i, as: UInt8.self) {
                case UInt8(ascii: "."):
                    state = .point
                    i &+= 1
                case UInt8(ascii: "e"), UInt8(ascii: "E"):
                    state = .exponent
                    i &+= 1
                case UInt8(ascii: "0")...UInt8(ascii: "9"): return (i, .badNumber)  // a leading zero
                default: state = .afterValue
                }

            case .point:
                if !Self.isDigit(byte) { return (i, .badNumber) }
                state = .fraction
                i &+= 1

            case .fraction:
                while i < count, Self.isDigit(base.load(fromByteOffset: i, as: UInt8.self)) { i &+= 1 }
                if i == count { return nil }
                if base.load(fromByteOffset: i, as: UInt8.self) | 0x20 == UInt8(ascii: "e") {
                    state = .exponent
                    i &+= 1
                } else {
                    state = .afterValue
                }

            case .exponent:
                if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") {
                    state = .exponentSign
                } else if Self.isDigit(byte) {
                    state = .exponentDigits
                } else {
                    return (i, .badNumber)
                }
                i &+= 1

            case .exponentSign:
                if !Self.isDigit(byte) { return (i, .badNumber) }
                state = .exponentDigits
                i &+= 1

            case .exponentDigits:
                while i < count, Self.isDigit(base.load(fromByteOffset: i, as: UInt8.self)) { i &+= 1 }
                if i < count { state = .afterValue }

            case .failed:
                preconditionFailure("scan() does not run a failed scanner")
            }
        }
        return nil
    }

    /// Takes the first byte of a sequence of RFC 3629, section 4; false if none starts so.
    private mutating func startSequence(_ byte: UInt8) -> Bool {
        continuationLow = 0x80
        continuationHigh = 0xBF
        switch byte {
        case 0xC2...0xDF: continuationsLeft = 1
        case 0xE0:  // lower would be overlong
            continuationsLeft = 2
            continuationLow = 0xA0
        case 0xED:  // higher would be a surrogate
            continuationsLeft = 2
            continuationHigh = 0x9F
        case 0xE1...0xEF: continuationsLeft = 2
        case 0xF0:  // lower would be overlong
            continuationsLeft = 3
            continuationLow = 0x90
        case 0xF1...0xF3: continuationsLeft = 3
        case 0xF4:  // higher would be past U+10FFFF
            continuationsLeft = 3
            continuationHigh = 0x8F
        default: return false
        }
        return true
    }

    /// True if any of eight bytes is a quote, a backslash, a control character or not ASCII. (The usual "has a zero
    /// byte" and "has a byte below n" of Bit Twiddling Hacks; a borrow can only make it true once too often.)
    @inline(__always)
    private static func needsLook(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let quote = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
        let backslash = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
        let found = (word &- ones &* 0x20) | (quote &- ones) | (backslash &- ones) | word
        return found & highs != 0
    }

    @inline(__always)
    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private static func isLetter(_ byte: UInt8) -> Bool {
        let lower = byte | 0x20
        return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")
    }
}
