/// The chunked framing of a body (RFC 9112, section 7.1), strictly: sizes of hexadecimal digits only, every line ended by
/// CR LF, chunk extensions and trailers bounded and ignored. Push-style; a chunk of input may end anywhere.
package struct ChunkDecoder {
    package enum Step {
        /// That many bytes are framing.
        case skip(Int)
        /// That many bytes are body.
        case data(Int)
        /// That many bytes are framing, and the body is over.
        case end(Int)
        case bad
    }

    private enum State {
        case sizeStart, size, `extension`, sizeLineFeed, data, dataReturn, dataLineFeed
        case trailerStart, trailer, trailerLineFeed, endLineFeed
    }

    /// Extensions and trailers are worth nothing to us, so few bytes of them are allowed.
    private static let ignoredBytesMax = 4096

    private var state = State.sizeStart
    private var left = 0
    private var digits = 0
    private var ignored = 0

    package init() {}

    /// Looks at the start of `bytes`, which are not empty; the caller calls again with what is behind the step.
    package mutating func step(_ bytes: UnsafeRawBufferPointer) -> Step {
        var i = 0
        while i < bytes.count {
            let byte = bytes[i]
            switch state {
            case .sizeStart, .size:
                if let digit = PercentEncoding.hexValue(byte) {
                    // Fifteen digits are an exabyte, and cannot overflow.
                    if digits == 15 { return .bad }
                    left = left << 4 | Int(digit)
                    digits += 1
                    state = .size
                } else if state == .sizeStart {
                    return .bad
                } else if byte == 0x0D {
                    state = .sizeLineFeed
                } else if byte == UInt8(ascii: ";") {
                    state = .extension
                } else {
                    return .bad
                }
            case .extension:
                ignored += 1
                if byte == 0x0D {
                    state = .sizeLineFeed
                } else if (byte < 0x20 && byte != 0x09) || byte == 0x7F || ignored > Self.ignoredBytesMax {
                    return .bad
                }
            case .sizeLineFeed:
                if byte != 0x0A { return .bad }
                digits = 0
                state = left == 0 ? .trailerStart : .data
            case .data:
                if i > 0 { return .skip(i) }
                let count = min(left, bytes.count)
                left -= count
                if left == 0 { state = .dataReturn }
                return .data(count)
            case .dataReturn:
                if byte != 0x0D { return .bad }
                state = .dataLineFeed
            case .dataLineFeed:
                if byte != 0x0A { return .bad }
                state = .sizeStart
            case .trailerStart:
                if byte == 0x0D {
                    state = .endLineFeed
                } else if HeadParser.isToken(byte) {
                    ignored += 1
                    state = .trailer
                } else {
                    return .bad
                }
            case .trailer:
                ignored += 1
                if byte == 0x0D {
                    state = .trailerLineFeed
                } else if (byte < 0x20 && byte != 0x09) || byte == 0x7F || ignored > Self.ignoredBytesMax {
                    return .bad
                }
            case .trailerLineFeed:
                if byte != 0x0A { return .bad }
                state = .trailerStart
            case .endLineFeed:
                if byte != 0x0A { return .bad }
                return .end(i + 1)
            }
            i += 1
        }
        return .skip(i)
    }
}
