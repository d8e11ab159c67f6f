/// The chunked framing of a body (RFC 9112, section 7.1), strictly: sizes of hexadecimal digits only, every line ended by
/// CR LF, chunk extensions bounded and ignored, trailers bounded, and kept if wanted. Push-style; a chunk of input may end
/// anywhere.
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

    /// Extensions, and trailers that are not kept, are worth nothing to us, so few bytes of them are allowed.
    private static let ignoredBytesMax = 4096

    private var state = State.sizeStart
    private var left = 0
    private var digits = 0
    private var ignored = 0
    private let trailerBytesMax: Int
    /// The trailer's field lines, each with a line feed behind it and without its carriage return.
    package private(set) var trailers: [UInt8] = []

    /// - Parameter trailerBytesMax: of the trailers that are kept; 0 keeps none.
    package init(trailerBytesMax: Int = 0) { self.trailerBytesMax = trailerBytesMax }

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
                    if !keep(byte) { return .bad }
                    state = .trailer
                } else {
                    return .bad
                }
            case .trailer:
                if byte == 0x0D {
                    state = .trailerLineFeed
                } else if (byte < 0x20 && byte != 0x09) || byte == 0x7F || !keep(byte) {
                    return .bad
                }
            case .trailerLineFeed:
                if byte != 0x0A || !keep(byte) { return .bad }
                state = .trailerStart
            case .endLineFeed:
                if byte != 0x0A { return .bad }
                return .end(i + 1)
            }
            i += 1
        }
        return .skip(i)
    }

    /// False when there are too many bytes of trailers.
    private mutating func keep(_ byte: UInt8) -> Bool {
        guard trailerBytesMax > 0 else {
            ignored += 1
            return ignored <= Self.ignoredBytesMax
        }
        trailers.append(byte)
        return trailers.count <= trailerBytesMax
    }

    /// The value of a trailer, without blanks around it; `nil` when it was not kept or not sent.
    ///
    /// - Parameter name: in lower case.
    package func trailer(_ name: String) -> String? {
        for line in trailers.split(separator: 0x0A) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
            let isNamed = line[..<colon].elementsEqual(name.utf8) { $0 == $1 || ($0 | 0x20 == $1 && $0 < 0x60) }
            guard isNamed else { continue }
            let value = line[(colon + 1)...].drop { $0 == 0x20 || $0 == 0x09 }
            let end = value.lastIndex { $0 != 0x20 && $0 != 0x09 }.map { $0 + 1 } ?? value.startIndex
            return String(decoding: value[..<end], as: UTF8.self)
        }
        return nil
    }
}
